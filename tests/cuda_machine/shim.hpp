// What a CUDA compiler knows by itself, for a C++ compiler; and how a launch runs on one core of the processor.
//
// The work items of a block run one after the other on a stack (a fibre). One that comes to a barrier stays there, and
// another fibre goes on with the items not yet begun: a kernel without barriers costs a plain loop. When all items of
// a block wait at the same barrier they go on in turn; where some wait and others have ended, a GPU would hang or
// compute garbage, and the launch is refused. One launch runs at a time, so nothing here is atomic or thread_local.
#include <cmath>
#include <cstring>
using namespace std;
#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __restrict__ __restrict
#define __launch_bounds__(...)
#define __constant__ static
#define __shared__ static __attribute__((section("machine_shared")))

struct uint3 { unsigned x, y, z; };
static uint3 threadIdx = {0, 0, 0}, blockIdx = {0, 0, 0}, blockDim = {1, 1, 1}, gridDim = {1, 1, 1};
#define MACHINE_PAIR(name, T) struct name { T x, y; }; \
    static inline name make_##name(T x, T y) { name made = {x, y}; return made; }
#define MACHINE_FOUR(name, T) struct name { T x, y, z, w; }; \
    static inline name make_##name(T x, T y, T z, T w) { name made = {x, y, z, w}; return made; }
MACHINE_PAIR(float2, float) MACHINE_PAIR(double2, double) MACHINE_PAIR(int2, int) MACHINE_PAIR(uint2, unsigned)
MACHINE_PAIR(longlong2, long long) MACHINE_PAIR(ulonglong2, unsigned long long)
MACHINE_FOUR(float4, float) MACHINE_FOUR(int4, int) MACHINE_FOUR(uint4, unsigned)

// ---- atomics, for the types that CUDA has them for
#define MACHINE_ATOMIC(name, T, now) \
    static inline T name(T *p, T v) { T old = *p; *p = (now); return old; }
#define MACHINE_ATOMICS(T) MACHINE_ATOMIC(atomicMin, T, v < old ? v : old) MACHINE_ATOMIC(atomicMax, T, v > old ? v : old) \
    MACHINE_ATOMIC(atomicAnd, T, old & v) MACHINE_ATOMIC(atomicOr, T, old | v) MACHINE_ATOMIC(atomicXor, T, old ^ v)
#define MACHINE_CAS(T) static inline T atomicCAS(T *p, T old, T now) { T found = *p; if (found == old) *p = now; return found; }
MACHINE_ATOMICS(int) MACHINE_ATOMICS(unsigned) MACHINE_ATOMICS(long long) MACHINE_ATOMICS(unsigned long long)
MACHINE_ATOMIC(atomicAdd, int, old + v) MACHINE_ATOMIC(atomicAdd, unsigned, old + v)
MACHINE_ATOMIC(atomicAdd, unsigned long long, old + v)
MACHINE_ATOMIC(atomicAdd, float, old + v) MACHINE_ATOMIC(atomicAdd, double, old + v)
MACHINE_ATOMIC(atomicSub, int, old - v) MACHINE_ATOMIC(atomicSub, unsigned, old - v)
MACHINE_ATOMIC(atomicExch, int, v) MACHINE_ATOMIC(atomicExch, unsigned, v) MACHINE_ATOMIC(atomicExch, float, v)
MACHINE_ATOMIC(atomicExch, unsigned long long, v)
MACHINE_CAS(int) MACHINE_CAS(unsigned) MACHINE_CAS(unsigned long long) MACHINE_CAS(unsigned short)

// ---- functions
#define MACHINE_BITS(name, From, To) \
    static inline To name(From from) { To to; memcpy(&to, &from, sizeof to); return to; }
MACHINE_BITS(__int_as_float, int, float) MACHINE_BITS(__float_as_int, float, int)
MACHINE_BITS(__uint_as_float, unsigned, float) MACHINE_BITS(__float_as_uint, float, unsigned)
MACHINE_BITS(__longlong_as_double, long long, double) MACHINE_BITS(__double_as_longlong, double, long long)
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __popcll(unsigned long long x) { return __builtin_popcountll(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
static inline int __clzll(long long x) { return x ? __builtin_clzll(x) : 64; }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline unsigned __umulhi(unsigned a, unsigned b) { return (unsigned long long)a * b >> 32; }
static inline unsigned long long __umul64hi(unsigned long long a, unsigned long long b) {
    return (unsigned __int128)a * b >> 64;
}
static inline float rsqrt(float x) { return 1.0f / sqrt(x); }
static inline double rsqrt(double x) { return 1.0 / sqrt(x); }
static inline float __fadd_rn(float a, float b) { return a + b; }
static inline float __fsub_rn(float a, float b) { return a - b; }
static inline float __fmul_rn(float a, float b) { return a * b; }
static inline float __fdiv_rn(float a, float b) { return a / b; }
static inline double __dadd_rn(double a, double b) { return a + b; }
static inline double __dmul_rn(double a, double b) { return a * b; }
template <class T> static inline T __ldg(const T *p) { return *p; }
static inline void __threadfence() {}
static inline void __threadfence_block() {}

// ---- fibres
extern "C" {
struct machine_launch {
    unsigned grid[3], block[3];
    char *arguments, *stacks;
    unsigned long stack_size;
    unsigned waiting, ended, line, other_line;    // of the block at which it failed
};
}

namespace machine {
typedef void (*body_t)(char *);
static machine_launch *launch;
static body_t body;
static unsigned running, begun, ended, items;

#if defined(__x86_64__) && !defined(MACHINE_UCONTEXT)
struct fibre { void *top; uint3 index; unsigned line; };
typedef void *context;
extern "C" __attribute__((visibility("hidden"))) void machine_switch(void **save, void *next);
asm(R"(
.text
.hidden machine_switch
.type machine_switch, @function
machine_switch:
    pushq %rbp
    pushq %rbx
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    movq %rsp, (%rdi)
    movq %rsi, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %rbx
    popq %rbp
    ret
.size machine_switch, . - machine_switch
)");
static inline void change(context *save, context *next) { machine_switch(save, *next); }
static void prepare(context *made, char *stack, unsigned long size, void (*entry)()) {
    void **top = (void **)(stack + size);    // a multiple of 16: `entry` finds it as after a call
    *--top = 0;
    *--top = (void *)entry;
    for (int k = 0; k < 6; ++k) *--top = 0;
    *made = top;
}
#else
}
#include <ucontext.h>
namespace machine {
typedef ucontext_t context;
struct fibre { context top; uint3 index; unsigned line; };
static inline void change(context *save, context *next) { swapcontext(save, next); }
static void prepare(context *made, char *stack, unsigned long size, void (*entry)()) {
    getcontext(made);
    made->uc_stack.ss_sp = stack;
    made->uc_stack.ss_size = size;
    made->uc_link = 0;
    makecontext(made, entry, 0);
}
#endif

static fibre fibres[1024];
static context scheduler;

__attribute__((noinline)) static void barrier(unsigned line) {
    if (!launch) return;    // called as a plain function
    fibre &mine = fibres[running];
    mine.index = threadIdx;
    mine.line = line;
    change(&mine.top, &scheduler);
}

static void work() {    // what a fibre does for ever: items not yet begun
    for (;;) {
        while (begun < items) {
            unsigned item = begun++;
            threadIdx.x = item % blockDim.x;
            threadIdx.y = item / blockDim.x % blockDim.y;
            threadIdx.z = item / blockDim.x / blockDim.y;
            body(launch->arguments);
            ++ended;
        }
        change(&fibres[running].top, &scheduler);
    }
}

static int block(unsigned &made) {
    begun = ended = 0;
    unsigned used = 0;
    while (begun < items) {
        if (used == made) {
            prepare(&fibres[made].top, launch->stacks + made * launch->stack_size, launch->stack_size, work);
            ++made;
        }
        fibres[used].line = 0;
        running = used++;
        change(&scheduler, &fibres[running].top);
    }
    while (ended < items) {
        for (unsigned k = 0; k < used; ++k)
            if (fibres[k].line != fibres[0].line || ended) {
                launch->waiting = items - ended;
                launch->ended = ended;
                for (k = 0; k < used; ++k) {
                    if (fibres[k].line) launch->line = fibres[k].line;
                    if (fibres[k].line && !launch->other_line) launch->other_line = fibres[k].line;
                }
                return 1;
            }
        for (unsigned k = 0; k < used; ++k) {
            fibres[k].line = 0;
            running = k;
            threadIdx = fibres[k].index;
            change(&scheduler, &fibres[k].top);
        }
    }
    return 0;
}

extern "C" char __start_machine_shared[] __attribute__((weak, visibility("hidden")));
extern "C" char __stop_machine_shared[] __attribute__((weak, visibility("hidden")));

static int run(machine_launch *asked, body_t wanted) {
    launch = asked;
    body = wanted;
    gridDim.x = asked->grid[0], gridDim.y = asked->grid[1], gridDim.z = asked->grid[2];
    blockDim.x = asked->block[0], blockDim.y = asked->block[1], blockDim.z = asked->block[2];
    items = blockDim.x * blockDim.y * blockDim.z;
    if (__start_machine_shared)    // shared memory holds anything: not numbers
        memset(__start_machine_shared, 255, __stop_machine_shared - __start_machine_shared);
    unsigned made = 0;
    int failed = 0;
    for (blockIdx.z = 0; blockIdx.z < gridDim.z && !failed; ++blockIdx.z)
        for (blockIdx.y = 0; blockIdx.y < gridDim.y && !failed; ++blockIdx.y)
            for (blockIdx.x = 0; blockIdx.x < gridDim.x && !failed; ++blockIdx.x) failed = block(made);
    launch = 0;
    return failed;
}

// ---- arguments: `void **` as cuLaunchKernel takes them, kept in slots of 16 bytes until the launch runs
constexpr unsigned long slot(unsigned long size) { return (size + 15) / 16 * 16; }
template <int N, class First, class... Rest> struct nth { typedef typename nth<N - 1, Rest...>::type type; };
template <class First, class... Rest> struct nth<0, First, Rest...> { typedef First type; };
template <class... P> static unsigned long size(void (*)(P...)) {
    unsigned long total = 0, each[] = {0, slot(sizeof(P))...};
    for (unsigned long one : each) total += one;
    return total;
}
template <class... P> static void pack(void (*)(P...), void **from, char *to) {
    unsigned long each[] = {0, sizeof(P)...};
    for (unsigned k = 1; k <= sizeof...(P); to += slot(each[k++])) memcpy(to, from[k - 1], each[k]);
}
template <class... P, class... V> static inline void apply(void (*f)(P...), char *p, V &...v) {
    if constexpr (sizeof...(V) == sizeof...(P)) f(v...);
    else {
        typedef typename nth<sizeof...(V), P...>::type T;
        apply(f, p + slot(sizeof(T)), v..., *(T *)p);
    }
}
}
#define __syncthreads() machine::barrier(__LINE__)
#define MACHINE_KERNEL(name) \
    static void name##__item(char *p) { machine::apply(name, p); } \
    extern "C" unsigned long name##__size() { return machine::size(name); } \
    extern "C" void name##__pack(void **from, char *to) { machine::pack(name, from, to); } \
    extern "C" int name##__run(machine_launch *asked) { return machine::run(asked, name##__item); }
