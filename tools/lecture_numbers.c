/* lecture_numbers.c - the lecture's examples in numbers, and its remedies for vanishing and exploding gradients:
 * initialisation, activations, normalisation, clipping. */
#include <math.h>

#include "lecture.h"

/* ---- examples */

enum { FIVE = 5 };

static const double h_before[FIVE] = {-0.94, 1.05, 0.39, 0.97, 0.90}, update[FIVE] = {0.5, 2.5, -1.0, -0.5, 0.8},
                    forget[FIVE] = {0.9, 1, 0, 0.1, 0.5}, keep[FIVE] = {0.1, 0, 1, 0.9, 0.5};

static double product_apart(const double *a, const double *b, const double *printed)
{
    double product[FIVE];
    for (int i = 0; i < FIVE; i++)
        product[i] = a[i] * b[i];
    return lecture_apart(FIVE, printed, product);
}

static void add_gates(lecture_report *r)
{
    static const double logical[FIVE] = {0, 1, 1, 0, 1}, by_logical[FIVE] = {0, 1.05, 0.39, 0, 0.90},
                        soft[FIVE] = {0.1, 0, 1, 0.9, 0.5}, by_soft[FIVE] = {-0.094, 0, 0.39, 0.873, 0.45};
    const char *place = "example of a differentiable gate";
    lecture_add(r, RIGHT, "gate example, logical", place, "(0, 1, 1, 0, 1) ⊙ h_t = (0, 1.05, 0.39, 0, 0.90)",
                "the same")
        ->printed_apart = product_apart(logical, h_before, by_logical);
    lecture_add(r, RIGHT, "gate example, differentiable", place,
                "(0.1, 0, 1, 0.9, 0.5) ⊙ h_t = (-0.094, 0, 0.39, 0.873, 0.45)", "the same")
        ->printed_apart = product_apart(soft, h_before, by_soft);
}

static void add_update(lecture_report *r)
{
    static const double kept[FIVE] = {-0.846, 1.05, 0, 0.097, 0.45}, written[FIVE] = {0.05, 0, -1.0, -0.45, 0.4},
                        result[FIVE] = {-0.796, 1.05, -1.0, -0.353, 0.85};
    double complement[FIVE], h[FIVE];
    const char *place = "example of a hidden-state update";
    for (int i = 0; i < FIVE; i++) {
        complement[i] = 1 - forget[i];
        h[i] = forget[i] * h_before[i] + (1 - forget[i]) * update[i];
    }
    lecture_add(r, RIGHT, "update example: 1 − φ", place, "(0.1, 0, 1, 0.9, 0.5)", "the same")->printed_apart =
        lecture_apart(FIVE, keep, complement);
    lecture_add(r, RIGHT, "update example: the kept part", place, "φ ⊙ h_{t-1} = (-0.846, 1.05, 0, 0.097, 0.45)",
                "the same")
        ->printed_apart = product_apart(forget, h_before, kept);
    lecture_add(r, RIGHT, "update example: the new part", place, "(1 − φ) ⊙ u_t = (0.05, 0, -1.0, -0.45, 0.4)",
                "the same")
        ->printed_apart = product_apart(keep, update, written);
    lecture_add(r, RIGHT, "update example: the sum", place, "h_t = (-0.796, 1.05, -1.0, -0.353, 0.85)", "the same")
        ->printed_apart = lecture_apart(FIVE, result, h);
    lecture_row *row =
        lecture_add(r, MISPRINT, "update example: u_t = (0.5, 2.5, ...) is no value of tanh", place,
                    "u_t = (0.5, 2.5, -1.0, -0.5, 0.8), h_{t-1} = (-0.94, 1.05, ...)",
                    "u_t = tanh(...) lies between -1 and 1, and so does h_t, which starts at 0 and is a mean of its "
                    "past and u_t with the weights φ_t and 1 − φ_t; the arithmetic is right");
    row->printed_apart = update[1] - 1;
    row->derived_apart = fmax(0, fmax(tanh(1e3), -tanh(-1e3)) - 1);
}

void lecture_numbers(lecture_report *r)
{
    add_gates(r);
    add_update(r);
}

/* ---- expectations under N(0, 1), by Simpson's rule on either side of 0, where the activations have their kinks */

typedef double function(double z);

static double half_expectation(function *f, double low, double high)
{
    enum { PANELS = 20000 };
    double width = (high - low) / PANELS, sum = 0;
    for (int i = 0; i <= PANELS; i++) {
        double z = low + i * width, edge = i == 0 || i == PANELS ? 1 : i % 2 ? 4 : 2;
        sum += edge * f(z) * exp(-z * z / 2);
    }
    return sum * width / 3 / sqrt(2 * 3.14159265358979323846);
}

static double expectation(function *f)
{
    return half_expectation(f, -14, 0) + half_expectation(f, 0, 14);
}

static double relu_squared(double z)
{
    return z > 0 ? z * z : 0;
}

static double selu(double z)
{
    static const double alpha = 1.6732632423543772848, lambda = 1.0507009873554804934;
    return lambda * (z > 0 ? z : alpha * expm1(z));
}

static double selu_squared(double z)
{
    return selu(z) * selu(z);
}

static double sigmoid_deviation_squared(double z)
{
    double d = 1 / (1 + exp(-z)) - 0.5; /* the mean is 1/2 */
    return d * d;
}

/* ---- initialisation */

static void add_initialisation(lecture_report *r)
{
    const char *place = "remedy 1: initialisation";
    double fan_in = 7, fan_out = 4, average = (fan_in + fan_out) / 2, variance = 1 / average;
    double bound = sqrt(3 / average), uniform = bound * bound / 3, same = sqrt(3) * sqrt(variance);
    lecture_add(r, RIGHT, "Glorot: the uniform law has the normal law's variance", place,
                "σ² = 1/fan_avg; from −r to r, r = √(3/fan_avg) = √3 σ", "the same: r²/3 = 1/fan_avg (eq. 16)")
        ->printed_apart = fmax(lecture_apart(1, &uniform, &variance), lecture_apart(1, &same, &bound));
    double half = expectation(relu_squared), one = 1, printed = half, derived = 2 * half;
    lecture_row *row = lecture_add(
        r, MISPRINT, "He: variance of the weights", place, "σ² = 1/fan_in (He et al.)",
        "σ² = 2/fan_in (He et al. 2015, eq. 10): E relu(z)² = ½ E z², so fan_in σ² E relu(z)² = 1 keeps the variance; "
        "1/fan_in is LeCun's");
    row->printed_apart = lecture_apart(1, &printed, &one);
    row->derived_apart = lecture_apart(1, &derived, &one);
    lecture_add(r, MISPRINT, "Glorot: year", place, "Glorot et al. (2011)",
                "Glorot and Bengio 2010, AISTATS; their paper of 2011 is on rectifiers");
    lecture_add(r, MISPRINT, "He: year", place, "Kaiming He et al. 2016",
                "He et al. 2015, ICCV, \"Delving deep into rectifiers\"; their paper of 2016 is on residual networks");
    double forward = fan_in * variance, backward = fan_out * variance;
    lecture_claim(r, forward > 1 && backward < 1 && fabs((forward + backward) / 2 - 1) < 1e-15,
                  "Glorot: both conditions hold for fan_in = fan_out alone", place,
                  "both variances cannot be kept unless fan_in = fan_out",
                  "it is so: fan_in σ² = 1 and fan_out σ² = 1 exclude each other; 7 inputs and 4 units get %.3g and "
                  "%.3g, 1 in the mean",
                  forward, backward);
    lecture_add(r, CLAIM, "Keras: default initialisation", place, "Keras starts with Glorot's uniform law",
                "of a layer's input weights; the recurrent weights of Keras' recurrent layers start orthogonal");
}

/* ---- activations */

typedef ur_var with_constant(ur_var a, double constant);

enum { POINTS = 9 };
static const double points[POINTS] = {-6, -2.5, -1, -0.3, -0.01, 0.02, 0.7, 2, 5};

/* The library's function at the points. */
static bool evaluate(with_constant *f, double constant, double out[POINTS])
{
    ur_tape *tape = ur_tape_new(&(ur_tape_options){.dtype = UR_F64});
    ur_var z = ur_input(tape, "z", UR_SHAPE(POINTS)), y = ur_keep(f(z, constant));
    ur_plan *plan = ur_write(z, POINTS, points) ? ur_plan_new(tape, NULL) : NULL;
    bool good = plan && ur_plan_run(plan) && ur_read(plan, y, POINTS, out);
    if (!good)
        lecture_good(tape);
    ur_plan_free(plan);
    ur_tape_free(tape);
    return good;
}

/* max(alpha z, z) against the leaky rectifier, z below 0 scaled by alpha. */
static bool leaky_apart(double alpha, double *apart)
{
    double found[POINTS], printed[POINTS];
    if (!evaluate(ur_lrelu, alpha, found))
        return false;
    for (int i = 0; i < POINTS; i++)
        printed[i] = fmax(alpha * points[i], points[i]);
    *apart = lecture_apart(POINTS, printed, found);
    return true;
}

static bool add_leaky(lecture_report *r, const char *place)
{
    double small, huge, above;
    if (!leaky_apart(0.01, &small) || !leaky_apart(0.2, &huge) || !leaky_apart(2, &above))
        return false;
    lecture_add(r, RIGHT, "LReLU for α = 0.01 and 0.2", place, "LReLU_α(z) = max(α z, z)", "the same")->printed_apart =
        fmax(small, huge);
    lecture_row *row = lecture_add(r, MISPRINT, "LReLU: for any α > 0", place, "max(α z, z), α > 0",
                                   "0 < α ≤ 1: for α = 2 the larger one is z on the left and 2 z on the right");
    row->printed_apart = above;
    row->derived_apart = fmax(small, huge);
    return true;
}

static bool add_elu(lecture_report *r, const char *place)
{
    double found[POINTS], printed[POINTS], worst = 0;
    for (int k = 0; k < 2; k++) {
        double alpha = k ? 0.5 : 1;
        if (!evaluate(ur_elu, alpha, found))
            return false;
        for (int i = 0; i < POINTS; i++)
            printed[i] = points[i] < 0 ? alpha * expm1(points[i]) : points[i];
        worst = fmax(worst, lecture_apart(POINTS, printed, found));
    }
    lecture_add(r, RIGHT, "ELU", place, "ELU_α(z) = α (exp(z) − 1) for z < 0, z for z ≥ 0",
                "the same; its slope is continuous for α = 1 alone")
        ->printed_apart = worst;
    return true;
}

static bool add_activations(lecture_report *r)
{
    const char *place = "remedy 2: activations without saturation";
    if (!add_leaky(r, place) || !add_elu(r, place))
        return false;
    lecture_row *row = lecture_add(r, MISSING, "SELU", place, "",
                                   "λ ELU_α(z), α = 1.67326..., λ = 1.05070... (Klambauer et al. 2017): named, not "
                                   "printed; the constants keep mean 0 and variance 1 under N(0, 1)");
    row->derived_apart = fmax(fabs(expectation(selu)), fabs(expectation(selu_squared) - 1));
    double variance = expectation(sigmoid_deviation_squared), ten = exp(-10) / pow(1 + exp(-10), 2);
    lecture_claim(r, variance < 0.05, "sigmoid: variance of input and output", "vanishing and exploding gradients",
                  "the sigmoid squeezes a large range of inputs into [0, 1]",
                  "it does: an input of variance 1 leaves with variance %.4f", variance);
    lecture_claim(
        r, ten < 1e-4, "sigmoid: saturation", "vanishing and exploding gradients",
        "for large inputs the derivative is close to zero",
        "σ' = σ (1 − σ) is at most 1/4, at 0, and %.2g at 10: each layer of sigmoids costs a factor 4 or more "
        "before its weights",
        ten);
    return true;
}

/* ---- clipping */

static void add_clipping(lecture_report *r)
{
    static const double g[2] = {0.9, 100};
    double norm = hypot(g[0], g[1]), by_value[2], by_norm[2];
    for (int i = 0; i < 2; i++) {
        by_value[i] = fmin(fmax(g[i], -1), 1);
        by_norm[i] = norm > 1 ? g[i] / norm : g[i];
    }
    double turned = by_value[0] * g[0] + by_value[1] * g[1];
    double cosine = turned / norm / hypot(by_value[0], by_value[1]);
    double kept = (by_norm[0] * g[0] + by_norm[1] * g[1]) / norm / hypot(by_norm[0], by_norm[1]);
    lecture_claim(r, cosine < 0.8 && fabs(kept - 1) < 1e-12, "clipping by value and by norm", "remedy 4: clipping",
                  "clipping by value may change the direction, by norm it scales all components alike",
                  "it is so: of (0.9, 100) clipping by value at 1 leaves (0.9, 1), %.0f degrees away; by the norm "
                  "(%.3g, %.5f), in the same direction",
                  acos(cosine) * 180 / 3.14159265358979323846, by_norm[0], by_norm[1]);
}

bool lecture_remedies(lecture_report *r)
{
    add_initialisation(r);
    if (!add_activations(r))
        return false;
    add_clipping(r);
    return true;
}
