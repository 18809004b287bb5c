/* Lets one call of a function that turnoutd uses fail: a library to be preloaded into the real program.
 *
 *   turnoutd ──uv_write, SSL_new, malloc ...──▶ here ──counted──▶ the real one
 *                                                └── the Nth since it was armed ──▶ its error instead
 *   test ──writes function and N──▶ struct control, in the file named by FAULT_CONTROL ──▶ calls, fired, where
 *                                                                                     └──▶ records: a stack a call
 *
 * The Nth call of all, or of those with one stack: a number for the way in the code on which it is made, the same in
 * every run of a build.
 * What cannot fail, or only where it is misused, is not here: faults.py has each with its reason, and a test that
 * nothing is forgotten. uv_accept fails as it does in libuv: the connection is taken and its handle must be closed. A few allocations
 * are passed over: see beyond_us. */
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <hiredis/async.h>
#include <hiredis/hiredis.h>
#include <openssl/core.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <link.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <uv.h>

/* clang-format off */
#define FUNCTIONS(X)                                                                                    \
    X(malloc) X(calloc) X(realloc) X(aligned_alloc) X(mmap) X(open) X(fopen) X(fdopen)                  \
    X(open_memstream) X(socket) X(accept4) X(eventfd)                                                   \
    X(uv_accept) X(posix_fallocate) X(dup3) X(fsync) X(fdatasync) X(rename) X(mkdir)                    \
    X(uv_async_init) X(uv_fileno) X(uv_getaddrinfo) X(uv_listen) X(uv_loop_init) X(uv_poll_init)        \
    X(uv_mutex_init) X(uv_queue_work) X(uv_random) X(uv_read_start) X(uv_shutdown) X(uv_signal_init)    \
    X(uv_signal_start) X(uv_tcp_bind) X(uv_tcp_connect) X(uv_tcp_getpeername)                           \
    X(uv_tcp_getsockname) X(uv_tcp_init_ex) X(uv_tcp_nodelay) X(uv_thread_create) X(send) X(sendmsg)     \
    X(uv_write) X(BIO_new) X(BIO_meth_new) X(BIO_get_new_index) X(EVP_Digest) X(EVP_MAC_fetch)          \
    X(EVP_MAC_CTX_new) X(EVP_MAC_init) X(EVP_MAC_update) X(EVP_MAC_final) X(HMAC) X(RAND_bytes)         \
    X(SSL_CTX_new) X(SSL_CTX_ctrl) X(SSL_ctrl) X(SSL_set_ex_data) X(X509_VERIFY_PARAM_set1_ip_asc)      \
    X(SSL_CTX_use_certificate_chain_file) X(SSL_CTX_use_PrivateKey_file) X(SSL_CTX_check_private_key)   \
    X(SSL_CTX_load_verify_file) X(SSL_CTX_set_default_verify_paths) X(X509_VERIFY_PARAM_set1_host)      \
    X(SSL_do_handshake) X(SSL_new) X(SSL_read) X(SSL_shutdown) X(SSL_write)                             \
    X(redisAsyncCommandArgv) X(redisAsyncConnect)
/* clang-format on */

#define AS_ENUM(name) FUNCTION_##name,
enum function { FUNCTIONS(AS_ENUM) FUNCTION_COUNT };
#undef AS_ENUM

enum {
    NAME_SIZE = 40,
    WHY_SIZE = 96,
    WHERE_SIZE = 2048,
    FRAMES = 16,
    STACK_FRAMES = 12,
    EARLY_SIZE = 4 << 20,
    ALIGNMENT = 16
};
enum { RECORDS_AT = 8192, RECORDS_MAX = 262144 };

struct record {
    uint32_t function;
    uint32_t beyond; /* 1 + its place in beyond[]; 0: turnoutd has to live with it */
    uint64_t stack;
};

/* Read and written by the test, too: little-endian words and texts, in this order. The records follow. */
struct control {
    atomic_uint ready;    /* 1 when the names are there */
    atomic_uint count;    /* of functions */
    atomic_uint armed;    /* 1 + enum function; 0: none */
    atomic_int countdown; /* calls up to and including the one to fail */
    atomic_int run;       /* how many calls in a row fail from there on */
    atomic_uint fired;
    atomic_uint passed; /* calls that would have failed, but for beyond_us */
    atomic_uint recording;
    atomic_uint recorded; /* may be more than RECORDS_MAX: those are lost */
    uint32_t unused;
    _Atomic uint64_t stack; /* armed for calls with this one alone; 0: for all */
    uint64_t hit;           /* the stack of the call that failed or was spared */
    char why[WHY_SIZE];     /* what beyond_us knows of it */
    char where[WHERE_SIZE]; /* the call that failed: "module+offset", one frame a line */
    struct {
        char name[NAME_SIZE];
        atomic_uint calls;
    } functions[FUNCTION_COUNT];
};
_Static_assert(sizeof(struct control) <= RECORDS_AT, "the records follow");

static struct control *control;
static struct record *records;
static void *reals[FUNCTION_COUNT];
static _Thread_local bool inside; /* what we call ourselves is not counted */
static bool spares_nobody;        /* FAULT_BEYOND in the environment: to see what beyond_us is for */

static const char *const names[] = {
#define AS_NAME(name) #name,
    FUNCTIONS(AS_NAME)
#undef AS_NAME
};

/* --- allocations before the real ones are known ------------------------------- */

static char early[EARLY_SIZE];
static size_t early_used;

static void *early_alloc(size_t size)
{
    size_t at = early_used;
    early_used += (size + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (early_used > sizeof early) {
        abort();
    }
    return early + at;
}

static bool is_early(const void *p)
{
    return (const char *)p >= early && (const char *)p < early + sizeof early;
}

/* From the end of begin on. Before it nobody may be asked: a sanitizer that is still being set up stands behind. */
static bool ready;

static void *real(enum function function)
{
    return reals[function];
}

/* --- the count ----------------------------------------------------------------------------------------------- */

static void begin_control(int fd, const char *armed)
{
    void *frames[FRAMES];
    (void)backtrace(frames, FRAMES); /* loads what it needs now */
    char *file =
        mmap(NULL, RECORDS_AT + RECORDS_MAX * sizeof *records, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    struct control *c = (struct control *)file;
    for (unsigned i = 0; i < FUNCTION_COUNT; i++) {
        snprintf(c->functions[i].name, NAME_SIZE, "%s", names[i]);
        size_t len = strlen(names[i]);
        if (armed != NULL && strncmp(armed, names[i], len) == 0 && armed[len] == ' ') {
            char *rest = NULL;
            atomic_store(&c->countdown, (int)strtol(armed + len, &rest, 10));
            atomic_store(&c->run, (int)strtol(rest, &rest, 10));
            atomic_store(&c->stack, strtoull(rest, NULL, 16));
            atomic_store(&c->armed, i + 1);
        }
    }
    atomic_store(&c->recording, getenv("FAULT_RECORD") != NULL);
    atomic_store(&c->count, FUNCTION_COUNT);
    atomic_store(&c->ready, 1);
    records = (struct record *)(file + RECORDS_AT);
    control = c;
}

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("FAULT_CONTROL");
    for (unsigned i = 0; i < FUNCTION_COUNT; i++) {
        reals[i] = dlsym(RTLD_NEXT, names[i]);
    }
    ready = true;
    int fd = path != NULL ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0) {
        inside = true;
        spares_nobody = getenv("FAULT_BEYOND") != NULL;
        begin_control(fd, getenv("FAULT_ARMED")); /* "malloc 17 1 0": from the program's start on */
        inside = false;
        close(fd);
    }
}

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0x9E3779B97F4A7C15;
    return hash ^ hash >> 29;
}

/* Of where in which file each frame is, not where that file was loaded: the nearest ones outside of this library.
 * Never 0. */
static uint64_t stack_of(void *const *frames, int count)
{
    struct dl_find_object own;
    struct dl_find_object object;
    uint64_t hash = 1;
    int outside = 0;
    (void)_dl_find_object((void *)(uintptr_t)stack_of, &own);
    for (int i = 0; i < count && outside < STACK_FRAMES; i++) {
        if (_dl_find_object(frames[i], &object) != 0 || object.dlfo_link_map == own.dlfo_link_map) {
            continue;
        }
        const char *name = object.dlfo_link_map->l_name;
        const char *slash = strrchr(name, '/');
        for (const char *p = slash != NULL ? slash + 1 : name; *p != '\0'; p++) {
            hash = mix(hash, (unsigned char)*p);
        }
        hash = mix(hash, (uint64_t)((char *)frames[i] - (char *)object.dlfo_map_start));
        outside++;
    }
    return hash == 0 ? 1 : hash;
}

static uint64_t this_stack(void)
{
    void *frames[FRAMES];
    return stack_of(frames, backtrace(frames, FRAMES));
}

static void note_where(void)
{
    void *frames[FRAMES];
    int count = backtrace(frames, FRAMES);
    size_t used = 0;
    for (int i = 0; i < count && used < WHERE_SIZE; i++) {
        Dl_info info = {.dli_fname = "?"};
        (void)dladdr(frames[i], &info);
        const char *base = strrchr(info.dli_fname, '/');
        if (base != NULL && strcmp(base, "/fault.so") == 0) {
            continue; /* however many the compiler made of them */
        }
        used +=
            (size_t)snprintf(control->where + used, WHERE_SIZE - used, "%s+0x%lx%s%s\n",
                             base != NULL ? base + 1 : info.dli_fname,
                             (unsigned long)((char *)frames[i] - (char *)info.dli_fbase),
                             info.dli_sname != NULL ? " " : "", info.dli_sname != NULL ? info.dli_sname : "");
    }
}

/* Where a library is known to go down with a failed allocation, which nobody but itself can mend: those that ask
 * themselves, and those whose function is under way. FAULT_BEYOND lets them fail nevertheless. */
struct beyond {
    const char *library;  /* the nearest one that is not libc */
    const char *function; /* under way; NULL: any */
    bool of_realloc;      /* that alone */
    const char *why;      /* shorter than WHY_SIZE */
};
static const struct beyond beyond[] = {
    {"libhiredis", NULL, false, "hiredis: aborts, does not look, or forgets the callback of a command"},
    {"libconfuse", NULL, false, "libconfuse: looks at few of its allocations while it reads a file"},
    {"libseccomp", "seccomp_load", false, "libseccomp: its load crashes or goes round for ever"},
    {"turnoutd", "argp_parse", false, "glibc: argp looks at nothing"},
    {"libuv", NULL, true, "libuv: ends the process where its table of descriptors cannot grow"},
};

static bool under_way(void *const *frames, int count, const char *function)
{
    for (int i = 0; i < count; i++) {
        Dl_info info;
        if (dladdr(frames[i], &info) != 0 && info.dli_sname != NULL &&
            strcmp(info.dli_sname, function) == 0) {
            return true;
        }
    }
    return false;
}

/* The file of the library, or the program, that asks: behind libc, this one and a sanitizer. */
static const char *nearest(void *const *frames, int count)
{
    static const char *const between[] = {"/libc.so", "/fault.so", "libasan"};
    for (int i = 0; i < count; i++) {
        Dl_info info;
        bool passed = dladdr(frames[i], &info) == 0;
        for (size_t k = 0; !passed && k < sizeof between / sizeof between[0]; k++) {
            passed = strstr(info.dli_fname, between[k]) != NULL;
        }
        if (!passed) {
            const char *slash = strrchr(info.dli_fname, '/');
            return slash != NULL ? slash + 1 : info.dli_fname;
        }
    }
    return "";
}

/* Why a failure of this call would say nothing of turnoutd; NULL where it would. */
static const struct beyond *beyond_us(enum function function)
{
    if (function > FUNCTION_aligned_alloc) {
        return NULL;
    }
    void *frames[FRAMES];
    int count = backtrace(frames, FRAMES);
    const char *library = nearest(frames, count);
    for (size_t i = 0; i < sizeof beyond / sizeof beyond[0]; i++) {
        const struct beyond *b = &beyond[i];
        if (strncmp(library, b->library, strlen(b->library)) == 0 &&
            (b->function == NULL || under_way(frames, count, b->function)) &&
            (!b->of_realloc || function == FUNCTION_realloc)) {
            return b;
        }
    }
    return NULL;
}

static void record(enum function function)
{
    unsigned at = atomic_fetch_add(&control->recorded, 1);
    if (at < RECORDS_MAX) {
        const struct beyond *b = beyond_us(function);
        records[at] = (struct record){.function = (uint32_t)function,
                                      .beyond = b == NULL ? 0 : 1 + (uint32_t)(b - beyond),
                                      .stack = this_stack()};
    }
}

/* Is it the call that was armed for? */
static bool is_due(enum function function)
{
    if (atomic_load(&control->armed) != (unsigned)function + 1) {
        return false;
    }
    uint64_t stack = atomic_load(&control->stack);
    if (stack != 0 && this_stack() != stack) {
        return false;
    }
    int left = atomic_fetch_sub(&control->countdown, 1);
    return left <= 1 && left > 1 - atomic_load(&control->run);
}

/* Notes what is to fail. False where it is spared. */
static bool strike(enum function function)
{
    const struct beyond *b = beyond_us(function);
    bool spared = b != NULL && !spares_nobody;
    control->hit = this_stack();
    snprintf(control->why, WHY_SIZE, "%s", b != NULL ? b->why : "");
    note_where();
    atomic_fetch_add(spared ? &control->passed : &control->fired, 1);
    return !spared;
}

static bool fails(enum function function)
{
    if (control == NULL || inside) {
        return false;
    }
    atomic_fetch_add(&control->functions[function].calls, 1);
    inside = true;
    if (atomic_load(&control->recording)) {
        record(function);
    }
    bool failing = is_due(function) && strike(function);
    inside = false;
    return failing;
}

/* --- the functions ------------------------------------------------------------------------------------------- */

#define FAILING(result, name, error, parameters, arguments)            \
    result name parameters                                             \
    {                                                                  \
        if (fails(FUNCTION_##name)) {                                  \
            return error;                                              \
        }                                                              \
        return ((result(*) parameters)real(FUNCTION_##name))arguments; \
    }

#define FAILING_ERRNO(result, name, number, error, parameters, arguments) \
    result name parameters                                                \
    {                                                                     \
        if (fails(FUNCTION_##name)) {                                     \
            errno = number;                                               \
            return error;                                                 \
        }                                                                 \
        return ((result(*) parameters)real(FUNCTION_##name))arguments;    \
    }

/* OpenSSL says more in its queue of errors, which is what SSL_get_error goes by. */
#define FAILING_TLS(result, name, error, parameters, arguments)        \
    result name parameters                                             \
    {                                                                  \
        if (fails(FUNCTION_##name)) {                                  \
            ERR_raise(ERR_LIB_SSL, ERR_R_MALLOC_FAILURE);              \
            return error;                                              \
        }                                                              \
        return ((result(*) parameters)real(FUNCTION_##name))arguments; \
    }

void *malloc(size_t size)
{
    if (fails(FUNCTION_malloc)) {
        errno = ENOMEM;
        return NULL;
    }
    return ready ? ((void *(*)(size_t))real(FUNCTION_malloc))(size) : early_alloc(size);
}

void *calloc(size_t count, size_t size)
{
    if (fails(FUNCTION_calloc)) {
        errno = ENOMEM;
        return NULL;
    }
    return ready ? ((void *(*)(size_t, size_t))real(FUNCTION_calloc))(count, size)
                 : early_alloc(count * size);
}

void *realloc(void *p, size_t size)
{
    if (fails(FUNCTION_realloc)) {
        errno = ENOMEM;
        return NULL;
    }
    if (!ready || is_early(p)) {
        void *copy = malloc(size);
        size_t most = p == NULL ? 0 : (size_t)(early + sizeof early - (char *)p);
        return copy == NULL ? NULL : memcpy(copy, p == NULL ? "" : p, size < most ? size : most);
    }
    return ((void *(*)(void *, size_t))real(FUNCTION_realloc))(p, size);
}

void free(void *p)
{
    static void (*function)(void *);
    if (is_early(p)) {
        return;
    }
    if (function == NULL) {
        function = (void (*)(void *))dlsym(RTLD_NEXT, "free");
    }
    function(p);
}

FAILING_ERRNO(void *, aligned_alloc, ENOMEM, NULL, (size_t alignment, size_t size), (alignment, size))
void *mmap(void *address, size_t len, int prot, int flags, int fd, off_t offset)
{
    if (fails(FUNCTION_mmap)) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    return (void *)syscall(SYS_mmap, address, len, prot, flags, fd, offset);
}

/* The mode counts only where a file is made. */
int open(const char *path, int flags, ...)
{
    va_list list;
    va_start(list, flags);
    mode_t mode = (flags & (O_CREAT | __O_TMPFILE)) != 0 ? va_arg(list, mode_t) : 0;
    va_end(list);
    if (fails(FUNCTION_open)) {
        errno = EMFILE;
        return -1;
    }
    return (int)syscall(SYS_openat, AT_FDCWD, path, flags, mode);
}

FAILING_ERRNO(FILE *, fopen, EMFILE, NULL, (const char *path, const char *mode), (path, mode))
FAILING_ERRNO(FILE *, fdopen, ENOMEM, NULL, (int fd, const char *mode), (fd, mode))
FAILING_ERRNO(FILE *, open_memstream, ENOMEM, NULL, (char **text, size_t *len), (text, len))
FAILING_ERRNO(int, eventfd, EMFILE, -1, (unsigned count, int flags), (count, flags))
FAILING_ERRNO(int, fsync, ENOSPC, -1, (int fd), (fd))
FAILING_ERRNO(int, fdatasync, ENOSPC, -1, (int fd), (fd))
FAILING_ERRNO(int, rename, ENOSPC, -1, (const char *from, const char *to), (from, to))
FAILING_ERRNO(int, mkdir, ENOSPC, -1, (const char *path, mode_t mode), (path, mode))
FAILING_ERRNO(int, dup3, EMFILE, -1, (int from, int to, int flags), (from, to, flags))
FAILING(int, posix_fallocate, ENOSPC, (int fd, off_t offset, off_t len), (fd, offset, len))

FAILING_ERRNO(int, socket, EMFILE, -1, (int domain, int type, int protocol), (domain, type, protocol))
FAILING_ERRNO(ssize_t, send, ECONNRESET, -1, (int fd, const void *octets, size_t len, int flags),
              (fd, octets, len, flags))
FAILING_ERRNO(ssize_t, sendmsg, ECONNRESET, -1, (int fd, const struct msghdr *message, int flags),
              (fd, message, flags))
FAILING_ERRNO(int, accept4, EMFILE, -1, (int fd, struct sockaddr *address, socklen_t *len, int flags),
              (fd, address, len, flags))

int uv_accept(uv_stream_t *server, uv_stream_t *client)
{
    int (*function)(uv_stream_t *, uv_stream_t *) =
        (int (*)(uv_stream_t *, uv_stream_t *))real(FUNCTION_uv_accept);
    bool failing = fails(FUNCTION_uv_accept);
    int error = function(server, client);
    return failing ? UV_ENOMEM : error;
}

FAILING(int, uv_async_init, UV_EMFILE, (uv_loop_t * loop, uv_async_t *async, uv_async_cb cb),
        (loop, async, cb))
FAILING(int, uv_fileno, UV_EBADF, (const uv_handle_t *handle, uv_os_fd_t *fd), (handle, fd))
FAILING(int, uv_getaddrinfo, UV_ENOMEM,
        (uv_loop_t * loop, uv_getaddrinfo_t *request, uv_getaddrinfo_cb cb, const char *node,
         const char *service, const struct addrinfo *hints),
        (loop, request, cb, node, service, hints))
FAILING(int, uv_listen, UV_EADDRINUSE, (uv_stream_t * stream, int backlog, uv_connection_cb cb),
        (stream, backlog, cb))
FAILING(int, uv_loop_init, UV_EMFILE, (uv_loop_t * loop), (loop))
FAILING(int, uv_poll_init, UV_EPERM, (uv_loop_t * loop, uv_poll_t *poll, int fd), (loop, poll, fd))
FAILING(int, uv_mutex_init, UV_ENOMEM, (uv_mutex_t * mutex), (mutex))
FAILING(int, uv_queue_work, UV_ENOMEM,
        (uv_loop_t * loop, uv_work_t *request, uv_work_cb work, uv_after_work_cb after),
        (loop, request, work, after))
FAILING(int, uv_random, UV_EIO,
        (uv_loop_t * loop, uv_random_t *request, void *out, size_t len, unsigned flags, uv_random_cb cb),
        (loop, request, out, len, flags, cb))
FAILING(int, uv_read_start, UV_ENOTCONN, (uv_stream_t * stream, uv_alloc_cb alloc, uv_read_cb cb),
        (stream, alloc, cb))
FAILING(int, uv_shutdown, UV_ENOTCONN, (uv_shutdown_t * request, uv_stream_t *stream, uv_shutdown_cb cb),
        (request, stream, cb))
FAILING(int, uv_signal_init, UV_EMFILE, (uv_loop_t * loop, uv_signal_t *handle), (loop, handle))
FAILING(int, uv_signal_start, UV_EINVAL, (uv_signal_t * handle, uv_signal_cb cb, int number),
        (handle, cb, number))
FAILING(int, uv_tcp_bind, UV_EINVAL, (uv_tcp_t * tcp, const struct sockaddr *address, unsigned flags),
        (tcp, address, flags))
FAILING(int, uv_tcp_connect, UV_ENETUNREACH,
        (uv_connect_t * request, uv_tcp_t *tcp, const struct sockaddr *address, uv_connect_cb cb),
        (request, tcp, address, cb))
FAILING(int, uv_tcp_getpeername, UV_ENOTCONN, (const uv_tcp_t *tcp, struct sockaddr *address, int *len),
        (tcp, address, len))
FAILING(int, uv_tcp_getsockname, UV_EINVAL, (const uv_tcp_t *tcp, struct sockaddr *address, int *len),
        (tcp, address, len))
/* Without an address family it makes no socket, and nothing can fail. */
int uv_tcp_init_ex(uv_loop_t *loop, uv_tcp_t *tcp, unsigned flags)
{
    int (*function)(uv_loop_t *, uv_tcp_t *, unsigned) =
        (int (*)(uv_loop_t *, uv_tcp_t *, unsigned))real(FUNCTION_uv_tcp_init_ex);
    return (flags & 0xFF) != AF_UNSPEC && fails(FUNCTION_uv_tcp_init_ex) ? UV_EMFILE
                                                                         : function(loop, tcp, flags);
}
FAILING(int, uv_tcp_nodelay, UV_EINVAL, (uv_tcp_t * tcp, int on), (tcp, on))
FAILING(int, uv_thread_create, UV_EAGAIN, (uv_thread_t * thread, uv_thread_cb entry, void *arg),
        (thread, entry, arg))
FAILING(int, uv_write, UV_ECONNRESET,
        (uv_write_t * request, uv_stream_t *stream, const uv_buf_t bufs[], unsigned count, uv_write_cb cb),
        (request, stream, bufs, count, cb))

FAILING_TLS(BIO *, BIO_new, NULL, (const BIO_METHOD *method), (method))
FAILING_TLS(BIO_METHOD *, BIO_meth_new, NULL, (int type, const char *name), (type, name))
FAILING_TLS(int, BIO_get_new_index, -1, (void), ())
FAILING_TLS(int, EVP_Digest, 0,
            (const void *data, size_t len, unsigned char *out, unsigned *size, const EVP_MD *type,
             ENGINE *engine),
            (data, len, out, size, type, engine))
FAILING_TLS(EVP_MAC *, EVP_MAC_fetch, NULL,
            (OSSL_LIB_CTX * context, const char *name, const char *properties), (context, name, properties))
FAILING_TLS(EVP_MAC_CTX *, EVP_MAC_CTX_new, NULL, (EVP_MAC * mac), (mac))
FAILING_TLS(int, EVP_MAC_init, 0,
            (EVP_MAC_CTX * context, const unsigned char *key, size_t len, const OSSL_PARAM parameters[]),
            (context, key, len, parameters))
FAILING_TLS(int, EVP_MAC_update, 0, (EVP_MAC_CTX * context, const unsigned char *data, size_t len),
            (context, data, len))
FAILING_TLS(int, EVP_MAC_final, 0, (EVP_MAC_CTX * context, unsigned char *out, size_t *len, size_t size),
            (context, out, len, size))
FAILING_TLS(unsigned char *, HMAC, NULL,
            (const EVP_MD *type, const void *key, int key_len, const unsigned char *data, size_t len,
             unsigned char *out, unsigned *size),
            (type, key, key_len, data, len, out, size))
FAILING_TLS(int, RAND_bytes, 0, (unsigned char *out, int len), (out, len))
FAILING_TLS(int, SSL_CTX_use_certificate_chain_file, 0, (SSL_CTX * context, const char *file),
            (context, file))
FAILING_TLS(int, SSL_CTX_use_PrivateKey_file, 0, (SSL_CTX * context, const char *file, int type),
            (context, file, type))
FAILING_TLS(int, SSL_CTX_check_private_key, 0, (const SSL_CTX *context), (context))
FAILING_TLS(int, SSL_CTX_load_verify_file, 0, (SSL_CTX * context, const char *file), (context, file))
FAILING_TLS(int, SSL_CTX_set_default_verify_paths, 0, (SSL_CTX * context), (context))
FAILING_TLS(int, X509_VERIFY_PARAM_set1_host, 0,
            (X509_VERIFY_PARAM * parameters, const char *name, size_t len), (parameters, name, len))
FAILING_TLS(int, X509_VERIFY_PARAM_set1_ip_asc, 0, (X509_VERIFY_PARAM * parameters, const char *address),
            (parameters, address))
FAILING_TLS(long, SSL_CTX_ctrl, 0, (SSL_CTX * context, int what, long number, void *thing),
            (context, what, number, thing))
FAILING_TLS(long, SSL_ctrl, 0, (SSL * ssl, int what, long number, void *thing), (ssl, what, number, thing))
FAILING_TLS(int, SSL_set_ex_data, 0, (SSL * ssl, int index, void *data), (ssl, index, data))
FAILING_TLS(int, SSL_shutdown, -1, (SSL * ssl), (ssl))
FAILING_TLS(SSL_CTX *, SSL_CTX_new, NULL, (const SSL_METHOD *method), (method))
FAILING_TLS(SSL *, SSL_new, NULL, (SSL_CTX * context), (context))
FAILING_TLS(int, SSL_do_handshake, -1, (SSL * ssl), (ssl))
FAILING_TLS(int, SSL_read, -1, (SSL * ssl, void *out, int size), (ssl, out, size))
FAILING_TLS(int, SSL_write, -1, (SSL * ssl, const void *data, int size), (ssl, data, size))

FAILING(int, redisAsyncCommandArgv, REDIS_ERR,
        (redisAsyncContext * context, redisCallbackFn *fn, void *ctx, int argc, const char **argv,
         const size_t *lens),
        (context, fn, ctx, argc, argv, lens))
FAILING(redisAsyncContext *, redisAsyncConnect, NULL, (const char *host, int port), (host, port))
