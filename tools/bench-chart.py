#!/usr/bin/env python3
"""Tables and charts of benchmarks: Markdown on stdout, with --svg FILE a bar chart too.

    unroll bench --limits --json >unroll.json
    tools/bench-chart.py unroll.json peers.txt --svg bench.svg >bench.md

A FILE (- is stdin) holds lines of `unroll bench --json`, or text lines `NAME WORKLOAD THREADS MEDIAN MIN` of any
program; other lines, `limit ...` and `# ...` among them, are passed over. The bars are the medians in units of the
fastest, of workloads that several programs have; of a single program, the fractions of the machine's peak.
"""
import argparse
import json
import re
import sys
from html import escape

LONGEST = 8  # times the fastest: longer bars are cut
COLOURS = ["#1f5fa8", "#d98a2b", "#5a9e6f", "#b5566b", "#7d6bb0", "#8c7a5b", "#4aa3b5", "#8a8f98", "#c2b13c", "#a05fae"]


def canonical(workload):
    """The workload and what its seconds are to be divided by. The peers' names say more: W1_reber is W1, W10_tape_scalar
    is W10; W9_length_T100 is W9-100, whose seconds are for a time step, while the peers' are for all 100."""
    length = re.fullmatch(r"(W\d+)_[a-z]+_T(\d+)", workload)
    if length:
        return f"{length[1]}-{length[2]}", int(length[2])
    return re.sub(r"^(W\d+m?)_(tape_scalar|[a-z]+\d*)$", r"\1", workload), 1


def parse(line):
    """(source, workload, median, fraction of the peak) of a line, or None."""
    if line.startswith("{"):
        members = json.loads(line)
        if "workload" not in members:
            return None
        source, fraction = "unroll", members.get("fraction_of_peak")
        workload, threads, median = members["workload"], members["threads"], members["median_seconds"]
    else:
        match = re.fullmatch(r"(\S+) (W\S+) (\d+) ([-+.\deE]+) ([-+.\deE]+)", line.strip())
        if not match:
            return None
        source, workload, threads, median, fraction = *match.groups()[:3], float(match[4]), None
    (workload, parts), threads = canonical(workload), int(threads)
    return source + (f", {threads} threads" if threads > 1 else ""), workload, median / parts, fraction


def natural(workload):
    """W2 comes before W10, W9-100 before W9-1000."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", workload)]


def read(paths):
    """The sources in the order in which they appear; {workload: {source: median}}; {workload: unroll's fraction}."""
    sources, times, fractions = [], {}, {}
    for path in paths:
        with sys.stdin if path == "-" else open(path, encoding="utf-8") as file:
            for source, workload, median, fraction in filter(None, map(parse, file)):
                if source not in sources:
                    sources.append(source)
                times.setdefault(workload, {})[source] = median
                if fraction is not None:
                    fractions[workload] = fraction
    return sources, {w: times[w] for w in sorted(times, key=natural)}, fractions


def digits(value):
    """Three of them, never with an exponent."""
    return f"{float(f'{value:.3g}'):.10g}"


def seconds(value):
    for unit, size in ("s", 1), ("ms", 1e-3), ("us", 1e-6):
        if value >= size:
            return f"{digits(value / size)} {unit}"
    return f"{digits(value * 1e9)} ns"


def markdown(sources, times, fractions):
    head = ["workload", *sources, *(["of the peak"] if fractions else [])]
    print("| " + " | ".join(head) + " |")
    print("| --- |" + " ---: |" * (len(head) - 1))
    for workload, medians in times.items():
        cells = [seconds(medians[s]) if s in medians else "" for s in sources]
        if fractions:
            cells.append(f"{fractions[workload]:.1%}" if workload in fractions else "")
        print("| " + " | ".join([workload, *cells]) + " |")


def bars(sources, times, fractions):
    """[(workload, [(colour, length 0..1, is it cut, label)])], and what the bars are."""
    if len(sources) == 1:
        only = {w: [(COLOURS[0], f, False, f"{f:.1%}, {seconds(times[w][sources[0]])}")] for w, f in fractions.items()}
        return [(w, only[w]) for w in times if w in only], "fraction of the machine's f32 peak"
    groups = []
    for workload, medians in times.items():
        fastest, group = min(medians.values()), []
        for i, source in enumerate(sources):
            if source in medians:
                ratio = medians[source] / fastest
                label = f"{source} {seconds(medians[source])}" + (f", {digits(ratio)} x" if ratio > 1 else "")
                length = min(ratio, LONGEST) / LONGEST
                group.append((COLOURS[i % len(COLOURS)], length, ratio > LONGEST, label))
        if len(group) > 1:
            groups.append((workload, group))
    return groups, f"median time in units of the fastest; longer bars are cut at {LONGEST} x"


def svg(groups, caption, title):
    left, width, right, row, gap, top = 110, 460, 260, 17, 12, 56
    rows, y = [], top
    for workload, group in groups:
        middle = y + row * len(group) / 2 + 4
        rows.append(f'<text x="{left - 10}" y="{middle:g}" text-anchor="end" font-weight="bold">{escape(workload)}</text>')
        for colour, length, cut, label in group:
            end = left + width * length
            rows.append(f'<rect x="{left}" y="{y + 2}" width="{end - left:.1f}" height="{row - 4}" fill="{colour}"/>')
            if cut:
                rows.append(f'<path d="M{end - 14:.1f} {y + row} l6 {-row} h4 l-6 {row} z" fill="white"/>')
            rows.append(f'<text x="{end + 6:.1f}" y="{y + row - 5}">{escape(label)}</text>')
            y += row
        y += gap
    total = left + width + right
    return "\n".join([
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{total}" height="{y}" viewBox="0 0 {total} {y}"'
        ' font-family="sans-serif" font-size="11">',
        f'<rect width="{total}" height="{y}" fill="white"/>',
        f'<text x="{left}" y="24" font-size="15" font-weight="bold">{escape(title)}</text>',
        f'<text x="{left}" y="42">{escape(caption)}</text>', *rows, "</svg>", ""])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", metavar="FILE")
    parser.add_argument("--svg", metavar="FILE", help="writes the bar chart")
    parser.add_argument("--title", default="unroll bench", help="stands above the chart")
    arguments = parser.parse_args()
    sources, times, fractions = read(arguments.files)
    if not times:
        sys.exit("bench-chart: no line of a benchmark was found")
    markdown(sources, times, fractions)
    if arguments.svg:
        groups, caption = bars(sources, times, fractions)
        if not groups:
            sys.exit("bench-chart: nothing to draw, expected several programs, or a run with --limits --json")
        with open(arguments.svg, "w", encoding="utf-8") as file:
            file.write(svg(groups, caption, arguments.title))


if __name__ == "__main__":
    main()
