/* pool.c - threads that wait for work: the caller of ur__pool_work is worker 0, the others belong to the pool.
 *
 * Every worker has two counters, of the pieces of work it was given and of those it has done. Who waits for one watches
 * it for a while, so that pieces that follow each other closely cost no system call, and sleeps then. Nobody but the
 * workers that are given a piece reads what it is: the caller returns only when all of them are done. */
#include <fenv.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>

#include "pool.h"
#include "support.h"

enum { LINES = 128, MOST_THREADS = 1024 }; /* processors fetch lines by pairs */

/* A counter that one thread raises and one waits for. */
typedef struct counter {
    atomic_uint value;
    atomic_bool asleep; /* the one who waits */
    pthread_mutex_t lock;
    pthread_cond_t raised;
} counter;

/* No line of one worker is another one's. */
typedef struct worker {
    _Alignas(LINES) counter given;
    counter done;
    ur_pool *pool;
    pthread_t thread;
    int number;
} worker;

struct ur_pool {
    ur_allocator allocator;
    void *allocation;
    size_t bytes;
    worker *worker; /* [threads - 1] */
    int threads;
    atomic_flag busy;
    /* the piece at hand; none: the workers end */
    ur__work_function *work;
    void *arg;
    fenv_t environment; /* the caller's rounding mode, and whether subnormal numbers count */
};

/* ---- counters */

static bool counter_init(counter *c)
{
    atomic_init(&c->value, 0);
    atomic_init(&c->asleep, false);
    if (pthread_mutex_init(&c->lock, NULL) != 0)
        return false;
    if (pthread_cond_init(&c->raised, NULL) == 0)
        return true;
    pthread_mutex_destroy(&c->lock);
    return false;
}

static void counter_free(counter *c)
{
    pthread_cond_destroy(&c->raised);
    pthread_mutex_destroy(&c->lock);
}

/* Either this sees that the other one sleeps, or that one sees the new value before it does. */
static void raise_counter(counter *c)
{
    atomic_fetch_add(&c->value, 1);
    if (!atomic_load(&c->asleep))
        return;
    pthread_mutex_lock(&c->lock);
    pthread_cond_signal(&c->raised);
    pthread_mutex_unlock(&c->lock);
}

/* Tells the processor that this thread only waits. */
static void pause_a_moment(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* some 10 ns; `yield` is nothing on most */
#endif
}

/* Waits until the counter is no longer `old`. */
static void wait_for(counter *c, unsigned old)
{
    enum { MOMENTS = 2000 }; /* 20 to 80 us */
    for (int i = 0; i < MOMENTS; i++) {
        if (atomic_load_explicit(&c->value, memory_order_acquire) != old)
            return;
        pause_a_moment();
    }
    pthread_mutex_lock(&c->lock);
    atomic_store(&c->asleep, true);
    while (atomic_load(&c->value) == old)
        pthread_cond_wait(&c->raised, &c->lock);
    atomic_store(&c->asleep, false);
    pthread_mutex_unlock(&c->lock);
}

/* ---- workers */

static void *live(void *arg)
{
    worker *w = (worker *)arg;
    for (unsigned piece = 0;; piece++) {
        wait_for(&w->given, piece);
        if (!w->pool->work)
            return NULL;
        fesetenv(&w->pool->environment);
        w->pool->work(w->pool->arg, w->number);
        raise_counter(&w->done);
    }
}

static bool start(ur_pool *pool, int number)
{
    worker *w = &pool->worker[number - 1];
    w->pool = pool;
    w->number = number;
    if (!counter_init(&w->given))
        return false;
    if (!counter_init(&w->done)) {
        counter_free(&w->given);
        return false;
    }
    if (pthread_create(&w->thread, NULL, live, w) == 0)
        return true;
    counter_free(&w->given);
    counter_free(&w->done);
    return false;
}

/* The program's signals are not for the workers: new threads block what their maker blocks. */
static void start_all(ur_pool *pool, int threads)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    while (pool->threads < threads && start(pool, pool->threads))
        pool->threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
}

void ur__pool_work(ur_pool *pool, int workers, ur__work_function *work, void *arg)
{
    if (!pool || workers <= 1 || atomic_flag_test_and_set_explicit(&pool->busy, memory_order_acquire)) {
        for (int k = 0; k < workers; k++)
            work(arg, k);
        return;
    }
    pool->work = work;
    pool->arg = arg;
    fegetenv(&pool->environment);
    for (int k = 1; k < workers; k++)
        raise_counter(&pool->worker[k - 1].given);
    work(arg, 0);
    for (int k = 1; k < workers; k++) {
        worker *w = &pool->worker[k - 1];
        wait_for(&w->done, atomic_load_explicit(&w->given.value, memory_order_relaxed) - 1);
    }
    atomic_flag_clear_explicit(&pool->busy, memory_order_release);
}

/* ---- life */

ur_pool *ur_pool_new(int threads, const ur_allocator *allocator)
{
    ur_allocator a = ur__allocator(allocator);
    int most = threads < 1 ? 1 : threads > MOST_THREADS ? MOST_THREADS : threads;
    size_t bytes = (size_t)(most - 1) * sizeof(worker) + LINES;
    ur_pool *pool = (ur_pool *)ur__new(&a, sizeof *pool);
    if (!pool)
        return NULL;
    *pool = (ur_pool){.allocator = a, .allocation = ur__new(&a, bytes), .bytes = bytes, .threads = 1};
    atomic_flag_clear(&pool->busy);
    if (!pool->allocation) {
        ur__free(&a, pool, sizeof *pool);
        return NULL;
    }
    uintptr_t rest = (uintptr_t)pool->allocation % LINES;
    pool->worker = (worker *)(void *)((char *)pool->allocation + (rest ? LINES - rest : 0));
    start_all(pool, most);
    return pool;
}

void ur_pool_free(ur_pool *pool)
{
    if (!pool)
        return;
    pool->work = NULL;
    for (int k = 1; k < pool->threads; k++)
        raise_counter(&pool->worker[k - 1].given);
    for (int k = 1; k < pool->threads; k++) {
        pthread_join(pool->worker[k - 1].thread, NULL);
        counter_free(&pool->worker[k - 1].given);
        counter_free(&pool->worker[k - 1].done);
    }
    ur_allocator a = pool->allocator;
    ur__free(&a, pool->allocation, pool->bytes);
    ur__free(&a, pool, sizeof *pool);
}

int ur_pool_threads(const ur_pool *pool)
{
    return pool ? pool->threads : 1;
}
