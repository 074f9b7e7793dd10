#!/usr/bin/env python3
"""Usage: standard_headers.py ROOT
Every header under include/ and kernels/ reaches, through its own includes and those of lpw's headers among them, a
header that gives each name from elsewhere that it uses: those of the standard library by the standard, whatever else
another of its headers happens to bring along. headers.sh, which compiles each header, does not see what is missing.
Names are those of namespaces from elsewhere (std::vector), macros in capitals (SIGINT), names that begin with two
underscores, types in _t, what is called as ::open, and the C functions of the tables below. One that is not in a table
and not lpw's own is a violation as well. So do the complete programs in the documentation. Prints every one."""

import re
import sys
from collections import defaultdict
from pathlib import Path

# Each header of C++ and the names that it gives, without std::.
STANDARD = {
    "algorithm": """adjacent_find all_of any_of none_of binary_search clamp copy copy_if copy_n count count_if equal
        fill fill_n find find_if for_each generate is_sorted lexicographical_compare lower_bound max max_element min
        min_element minmax mismatch nth_element partial_sort partition remove remove_if replace reverse rotate search
        set_difference sort stable_sort swap_ranges transform unique upper_bound""",
    "any": "any any_cast",
    "array": "array get tuple_size",
    "atomic": """atomic atomic_flag atomic_ref atomic_thread_fence memory_order memory_order_acquire
        memory_order_acq_rel memory_order_relaxed memory_order_release memory_order_seq_cst""",
    "barrier": "barrier",
    "bit": "bit_cast bit_ceil bit_floor bit_width countl_zero countr_zero endian has_single_bit popcount rotl rotr",
    "bitset": "bitset",
    "cctype": "isalnum isalpha isdigit isspace tolower toupper",
    "cerrno": "",
    "charconv": "chars_format from_chars to_chars",
    "chrono": "chrono",
    "cmath": """abs acos asin atan atan2 cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs floor fma fmax fmin
        fmod frexp hypot isfinite isinf isnan ldexp lgamma log log10 log1p log2 llround lround nearbyint pow remainder
        round signbit sin sinh sqrt tan tanh trunc""",
    "compare": "partial_ordering strong_ordering weak_ordering",
    "complex": "complex",
    "concepts": """constructible_from convertible_to copyable derived_from equality_comparable floating_point integral
        invocable movable predicate regular same_as signed_integral unsigned_integral""",
    "condition_variable": "condition_variable condition_variable_any cv_status",
    "csignal": "sig_atomic_t",
    "cstddef": "byte max_align_t nullptr_t ptrdiff_t size_t to_integer",
    "cstdint": """int8_t int16_t int32_t int64_t intmax_t intptr_t uint8_t uint16_t uint32_t uint64_t uintmax_t
        uintptr_t""",
    "cstdio": """FILE fclose fflush fgets fopen fprintf fputs fread fwrite perror printf puts remove rename size_t
        snprintf sscanf""",
    "cstdlib": """_Exit abort abs aligned_alloc atexit atoi exit free getenv malloc quick_exit size_t strtod strtol
        strtoll strtoul strtoull system""",
    "cstring": """memchr memcmp memcpy memmove memset size_t strchr strcmp strerror strlen strncmp strrchr strsignal
        strstr""",
    "ctime": "ctime gmtime localtime mktime size_t strftime time time_t tm",
    "cwchar": "size_t",
    "deque": "deque",
    "exception": """current_exception exception exception_ptr make_exception_ptr rethrow_exception terminate
        uncaught_exceptions""",
    "execution": "execution",
    "filesystem": "filesystem",
    "forward_list": "forward_list",
    "fstream": "filebuf fstream ifstream ofstream",
    "functional": """bind cref divides equal_to function greater greater_equal hash identity invoke less less_equal
        minus modulus multiplies negate not_equal_to not_fn placeholders plus ref reference_wrapper""",
    "future": "async future future_status launch packaged_task promise shared_future",
    "initializer_list": "initializer_list",
    "iomanip": "get_time put_time quoted setfill setprecision setw",
    "ios": "boolalpha dec defaultfloat fixed hex ios ios_base left oct right scientific streamoff streamsize",
    "iostream": "cerr cin clog cout",
    "istream": "istream ws",
    "iterator": """advance back_inserter bidirectional_iterator default_sentinel default_sentinel_t distance
        forward_iterator inserter istream_iterator istreambuf_iterator iterator_traits make_move_iterator next
        ostream_iterator prev random_access_iterator random_access_iterator_tag reverse_iterator""",
    "latch": "latch",
    "limits": "numeric_limits",
    "list": "list",
    "locale": "isspace locale",
    "map": "map multimap",
    "memory": """addressof align allocator allocator_traits assume_aligned const_pointer_cast construct_at
        default_delete destroy_at dynamic_pointer_cast enable_shared_from_this make_shared make_unique owner_less
        pointer_traits shared_ptr static_pointer_cast to_address uninitialized_copy uninitialized_fill_n unique_ptr
        weak_ptr""",
    "mutex": """adopt_lock call_once defer_lock lock_guard mutex once_flag recursive_mutex scoped_lock timed_mutex
        try_to_lock unique_lock""",
    "new": "align_val_t bad_alloc hardware_destructive_interference_size launder nothrow",
    "numbers": "numbers",
    "numeric": """accumulate exclusive_scan gcd inclusive_scan inner_product iota lcm midpoint partial_sum reduce
        transform_reduce""",
    "optional": "make_optional nullopt nullopt_t optional",
    "ostream": "endl flush ostream",
    "queue": "priority_queue queue",
    "random": "mt19937 mt19937_64 normal_distribution random_device uniform_int_distribution uniform_real_distribution",
    "ranges": "ranges views",
    "ratio": "milli micro nano ratio",
    "regex": "regex regex_match regex_replace regex_search smatch",
    "semaphore": "binary_semaphore counting_semaphore",
    "set": "multiset set",
    "shared_mutex": "shared_lock shared_mutex",
    "source_location": "source_location",
    "span": "as_bytes as_writable_bytes dynamic_extent span",
    "sstream": "istringstream ostringstream stringbuf stringstream",
    "stack": "stack",
    "stdexcept": """domain_error invalid_argument length_error logic_error out_of_range overflow_error range_error
        runtime_error""",
    "stop_token": "stop_callback stop_source stop_token",
    "streambuf": "streambuf",
    "string": "char_traits getline stod stoi stol stoll stoul stoull string to_string u8string wstring",
    "string_view": "char_traits string_view",
    "syncstream": "osyncstream",
    "system_error": """errc error_category error_code error_condition generic_category make_error_code
        system_category system_error""",
    "thread": "jthread this_thread thread",
    "tuple": """apply forward_as_tuple get ignore make_from_tuple make_tuple tie tuple tuple_cat tuple_element_t
        tuple_size tuple_size_v""",
    "type_traits": """add_const_t add_lvalue_reference_t add_pointer_t aligned_storage_t alignment_of_v bool_constant
        common_type_t conditional conditional_t conjunction_v decay_t disjunction_v enable_if_t extent_v false_type
        integral_constant invoke_result_t is_aggregate_v is_arithmetic_v is_array_v is_assignable_v is_base_of_v
        is_class_v is_const_v is_constant_evaluated is_constructible_v is_convertible_v is_copy_assignable_v
        is_copy_constructible_v is_default_constructible_v is_empty_v is_enum_v is_final_v is_floating_point_v
        is_function_v is_integral_v is_invocable_r_v is_invocable_v is_lvalue_reference_v is_move_constructible_v
        is_nothrow_move_constructible_v is_pointer_v is_reference_v is_rvalue_reference_v is_same is_same_v is_signed_v
        is_standard_layout_v is_trivially_copyable_v is_trivially_destructible_v is_unsigned_v is_void_v
        make_signed_t make_unsigned_t negation_v rank_v remove_const_t remove_cv_t remove_cvref_t remove_extent_t
        remove_pointer_t remove_reference_t remove_volatile_t true_type type_identity type_identity_t
        underlying_type_t void_t""",
    "typeindex": "type_index",
    "typeinfo": "bad_cast type_info",
    "unordered_map": "unordered_map unordered_multimap",
    "unordered_set": "unordered_multiset unordered_set",
    "utility": """as_const declval exchange forward get index_sequence index_sequence_for in_place in_place_t
        integer_sequence make_index_sequence make_integer_sequence make_pair move pair piecewise_construct swap
        tuple_element_t tuple_size""",
    "valarray": "valarray",
    "variant": """bad_variant_access get get_if holds_alternative monostate variant variant_alternative_t
        variant_size_v visit""",
    "vector": "vector",
    "version": "",
}
# What each of a group of headers gives: ranges' access to containers, and what a stream is derived from.
CONTAINERS = """array deque forward_list list map regex set span string string_view unordered_map unordered_set
    vector""".split()
for header in ["iterator", *CONTAINERS]:
    STANDARD[header] += " begin cbegin cend crbegin crend data empty end rbegin rend size ssize"
for header in set(CONTAINERS) - {"span", "string_view"} | {"algorithm", "utility", "optional", "variant"}:
    STANDARD[header] += " initializer_list"  # in the synopsis of most
for header in set(CONTAINERS) - {"array", "regex", "span", "string_view"}:
    STANDARD[header] += " erase erase_if"
for header in "fstream iostream istream ostream sstream".split():
    STANDARD[header] += " " + STANDARD["ios"]

# What C and POSIX give, in the global namespace; which are called like functions of lpw's count as ::open only.
C = {
    "cassert": "assert",
    "cerrno": "errno EAGAIN EACCES EEXIST EINTR EINVAL EIO ENOENT ENOMEM ENOSPC EPERM EPIPE ERANGE ESRCH EWOULDBLOCK",
    "cfloat": "DBL_EPSILON DBL_MAX FLT_EPSILON FLT_MAX FLT_MIN",
    "climits": "CHAR_BIT INT_MAX INT_MIN LLONG_MAX LONG_MAX UINT_MAX ULONG_MAX PATH_MAX",
    "cmath": "INFINITY NAN M_PI HUGE_VAL",
    "cstddef": "NULL offsetof",
    "cstdint": "INT32_MAX INT32_MIN INT64_MAX INT64_MIN SIZE_MAX UINT32_MAX UINT64_MAX",
    "cstdio": "BUFSIZ EOF SEEK_END SEEK_SET stderr stdin stdout",
    "cstdlib": "EXIT_FAILURE EXIT_SUCCESS RAND_MAX",
    "csignal": "SIGABRT SIGBUS SIGFPE SIGILL SIGINT SIGSEGV SIGTERM SIG_DFL SIG_ERR SIG_IGN",
    "ctime": "CLOCKS_PER_SEC",
    "dlfcn.h": "RTLD_DEFAULT RTLD_LAZY RTLD_NOW dlclose dlerror dlopen dlsym",
    "fcntl.h": """AT_FDCWD O_APPEND O_CLOEXEC O_CREAT O_DIRECTORY O_EXCL O_NOFOLLOW O_NONBLOCK O_RDONLY O_RDWR O_TRUNC
        O_WRONLY fcntl ::open ::openat""",
    "pthread.h": "pthread_atfork pthread_self pthread_setaffinity_np",
    "sched.h": "CPU_ALLOC CPU_COUNT CPU_COUNT_S CPU_ISSET CPU_SET CPU_ZERO cpu_set_t sched_getaffinity sched_yield",
    "signal.h": """SA_NODEFER SA_RESETHAND SA_RESTART SIGABRT SIGBUS SIGFPE SIGHUP SIGILL SIGINT SIGKILL SIGPIPE SIGQUIT
        SIGSEGV SIGTERM SIGTRAP SIGUSR1 SIGXFSZ SIG_BLOCK SIG_DFL SIG_ERR SIG_IGN SIG_SETMASK SIG_UNBLOCK
        pthread_sigmask raise sigaction sigaddset sigdelset sigemptyset sigfillset sigismember sigset_t ::kill
        ::sigtimedwait""",
    "stdio.h": "fileno fdopen fseeko ftello",
    "stdlib.h": "::setenv",
    "sys/file.h": "LOCK_EX LOCK_NB LOCK_SH LOCK_UN ::flock",
    "sys/ioctl.h": "TIOCGWINSZ ioctl winsize",
    "sys/mman.h": """MADV_DONTNEED MADV_HUGEPAGE MAP_ANONYMOUS MAP_FAILED MAP_FIXED MAP_NORESERVE MAP_PRIVATE MAP_SHARED
        PROT_NONE PROT_READ PROT_WRITE madvise mmap mprotect munmap""",
    "sys/resource.h": """RLIMIT_AS RLIMIT_DATA RLIM_INFINITY RUSAGE_SELF RUSAGE_THREAD getrlimit getrusage rlimit
        rusage""",
    "sys/stat.h": """S_IRUSR S_ISDIR S_ISREG S_IWUSR mode_t umask ::chmod ::fchmod ::fstat ::lstat ::mkdir ::mkfifo
        ::stat""",
    "sys/types.h": "mode_t off_t pid_t ssize_t uid_t",
    "unistd.h": """STDERR_FILENO STDIN_FILENO STDOUT_FILENO _SC_NPROCESSORS_ONLN _SC_PAGESIZE _SC_PHYS_PAGES fsync
        ftruncate getpid gethostname isatty pid_t ssize_t sysconf usleep ::access ::close ::dup ::dup2 ::execv ::fork
        ::fsync ::link ::pipe ::pread ::read ::rename ::unlink ::write""",
    "cpuid.h": "__cpuid __cpuid_count __get_cpuid __get_cpuid_count __get_cpuid_max",
    "sanitizer/asan_interface.h": "__asan_poison_memory_region __asan_unpoison_memory_region",
    "cuda_pipeline_primitives.h": "__pipeline_commit __pipeline_memcpy_async __pipeline_wait_prior",
}
C["fcntl.h"] += " mode_t"
C["cstdio"] += " ::rename ::remove"  # of C
for header in ["cerrno", "cassert", "climits", "cfloat"]:
    C[header[1:] + ".h"] = C[header]

# Of the names of C's library, those that are given as std::memcpy are asked for as memcpy too.
C_FUNCTIONS = {
    header: STANDARD[header].split()
    for header in ("cctype", "csignal", "cstdint", "cstdio", "cstdlib", "cstring", "ctime")
}
ALSO_LPW = set("remove rename abs exit free round system time tm".split())  # plain names of members and variables

# Whole namespaces and families of names; each with the headers that give them.
FAMILIES = {
    r"Eigen::\w+": ["Eigen/Core"],
    r"nlohmann::\w+|NLOHMANN_\w+": ["nlohmann/json.hpp"],
    r"(?<!:)dnnl::\w+|dnnl_\w+|DNNL_\w+": ["dnnl.hpp"],
    r"cudnn[A-Z]\w+|CUDNN_\w+": ["cudnn.h"],
    r"cublas[A-Z]\w+|CUBLAS_\w+": ["cublas_v2.h"],
    r"cuda(?:[A-Z]\w+|_runtime_\w+)": ["cuda_runtime.h", "cublas_v2.h", "cudnn.h"],
    r"CUDA_R_\w+": ["cublas_v2.h", "cuda_runtime.h"],
    r"MPI_\w+": ["mpi.h"],
    r"nccl[A-Z]\w+": ["nccl.h"],
    r"TJ(PF|FLAG|ERR|SAMP)_\w+": ["turbojpeg.h"],
    r"PNG_(FORMAT|IMAGE)_\w+": ["png.h"],
    r"_mm\d*_\w+|__m(?:128|256|512|mask)\w*": ["immintrin.h"],
    r"__(?:nv_)?b?half2?\b|__float2half\w*|__half\w*2?\w*|__half_as_\w+|__ushort_as_half": ["cuda_fp16.h"],
    r"__nv_bfloat16\w*|__(?:float2bfloat16|bfloat16)\w*": ["cuda_bf16.h"],
}
# What the compilers bring themselves: builtins, macros of theirs, and what nvcc has without an include.
BUILT_IN = re.compile(
    r"__builtin_\w+|__(?:VA_ARGS|BIGGEST_ALIGNMENT|FAST_MATH|FMA|GNUC|SANITIZE_\w+|AVX\w*|SSE\w*|ARM_\w+|CUDACC|"
    r"CUDA_ARCH|LINE|FILE|PRETTY_FUNCTION|BYTE_ORDER)__|"
    r"__(?:clang|x86_64|i386|aarch64|linux|APPLE|int128|has_feature|has_include)(?:__)?|"
    r"__CUDA\w+__|__ARM_\w+|__cpp_\w+|__cplusplus|GCC|_Pragma|"
    r"__(?:device|host|global|shared|constant|forceinline|launch_bounds|restrict|grid_constant)__|"
    r"__(?:ballot|shfl|shfl_down|shfl_xor|any|all)_sync|__(?:syncthreads|syncwarp|threadfence|ldc[gs]|stc[gs]|ldg)"
)
NOT_CODE = re.compile(
    r"""//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|(?<![0-9A-Za-z_])'(?:\\.|[^'\\\n])+'""", re.S
)
INCLUDE = re.compile(r"^[ \t]*#[ \t]*include[ \t]*[<\"]([^>\"]+)[>\"]", re.M)
SUFFIXES = (".hpp", ".cuh", ".inc")


def code_of(text):
    return NOT_CODE.sub(lambda match: re.sub(r"[^\n]", " ", match[0]), text)


def givers():
    """{name: headers that give it}, of std::name and of plain names."""
    standard, plain = defaultdict(set), defaultdict(set)
    for header, names in STANDARD.items():
        for name in names.split():
            standard[name].add(header)
    for table in (C, C_FUNCTIONS):
        for header, names in table.items():
            for name in names.split() if isinstance(names, str) else names:
                if table is C or name not in ALSO_LPW:
                    plain[name].add(header)
    for name in standard:
        for header in standard[name] & C_FUNCTIONS.keys():
            if name in plain:
                plain[name].add(header[1:] + ".h")
    return standard, plain


def declared_by_lpw(codes):
    """Macros, enumerators and types in _t that lpw has itself, parameters of templates among them."""
    names = set()
    for code in codes.values():
        names.update(re.findall(r"#[ \t]*define[ \t]+(\w+)", code))
        names.update(re.findall(r"(?:using|class|struct|typename)\s+(\w+)", code))
    return names


def uses(code, standard, plain, own):
    """Yields (place in the code, name as it is written, headers that give it or None where no table has it)."""
    for match in re.finditer(r"\bstd::(\w+)(?:::(\w+))?", code):
        name = match[1]
        if name == "ranges" and match[2] in standard:  # of <algorithm>, say; access to ranges is of <ranges>
            yield match.start(), match[0], {"ranges"} if "iterator" in standard[match[2]] else standard[match[2]]
        else:
            yield match.start(), f"std::{name}", standard.get(name)
    for pattern, headers in FAMILIES.items():
        for match in re.finditer(r"(?<![\w.])(?:" + pattern + ")", code):
            yield match.start(), match[0], set(headers)
    family = re.compile("|".join(FAMILIES))
    for match in re.finditer(r"(?<![\w:>)])::(\w+)", code):
        yield match.start(), match[0], plain.get(match[0]) or plain.get(match[1])
    for match in re.finditer(r"(?<![\w:.])(?<!->)(?<!#)\w+", code):
        name = match[0]
        if BUILT_IN.fullmatch(name) or family.fullmatch(name) or name in own:
            continue
        if name in plain:
            is_call = re.match(r"\s*\(", code[match.end() :])
            if re.fullmatch(r"[a-z]+", name) and name not in ("errno", "stderr", "stdin", "stdout") and not is_call:
                continue  # a variable or member called so
            yield match.start(), name, plain[name]
        elif re.fullmatch(r"[A-Z][A-Z0-9_]{2,}|__\w+|[a-z]\w*_t", name) and not name.startswith("LPW_"):
            yield match.start(), name, None


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    root = Path(sys.argv[1])
    paths, codes, includes = {}, {}, {}

    def add(name, path, text):
        paths[name] = path
        includes[name] = INCLUDE.findall(re.sub(r"//[^\n]*", "", text))
        codes[name] = re.sub(r"^[ \t]*#[ \t]*include.*", "", code_of(text), flags=re.M)

    for folder in ("include", "kernels"):
        for path in sorted((root / folder).rglob("*")):
            if path.suffix in SUFFIXES:
                name = path.relative_to(root / folder).as_posix()
                add(name, path.relative_to(root), path.read_text(encoding="utf-8"))
    if not codes:
        sys.exit(f"no headers found under {root}")
    standard, plain = givers()
    for path in sorted([*root.glob("*.md"), *(root / "docs").glob("*.md")]):
        text = path.read_text(encoding="utf-8")
        for program in re.finditer(r"^```cpp\n(?=#include)(.*?)^```$", text, re.M | re.S):
            lines_before = "\n" * text.count("\n", 0, program.start(1))
            add(f"{path}:{len(lines_before)}", path.relative_to(root), lines_before + program[1])
    own = declared_by_lpw(codes)

    def reached(header, seen):
        for other in includes.get(header, ()):
            if other not in seen:
                seen.add(other)
                reached(other, seen)
        return seen

    # A part of a header that is not one itself is held against the headers that include it.
    included_by = defaultdict(list)
    for header in codes:
        for other in includes[header]:
            included_by[other].append(header)
    violations = []
    for header, code in codes.items():
        missing = {}
        closures = [reached(h, set()) for h in (included_by[header] if header.endswith(".inc") else [header])]
        for place, name, headers in uses(code, standard, plain, own):
            line = code.count("\n", 0, place) + 1
            if headers is None:
                missing.setdefault(name, (line, f"{name} is unknown: add it to the table in standard_headers.py"))
            elif not all(headers & closure for closure in closures):
                say = " or ".join(f"<{h}>" for h in sorted(headers))
                missing.setdefault(name, (line, f"{name} needs {say}, which is not included"))
        violations += [f"{paths[header]}:{line}: {say}" for line, say in sorted(missing.values())]
    print("\n".join(violations) or f"standard_headers: {len(codes)} headers include what they use")
    sys.exit(bool(violations))


if __name__ == "__main__":
    main()
