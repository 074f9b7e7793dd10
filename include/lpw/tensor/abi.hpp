// What a file is compiled for, as a part of every name: all of lpw lies in an inline namespace LPW_ABI. One program may
// hold files compiled for several instruction sets, or with and without oneDNN (nvcc's are without). Inline functions
// of one name would then be one function, whichever the linker meets first, with other vector widths than half of its
// callers. Programs write lpw::Tensor all the same; only what passes lpw's types from one such file to another no
// longer links.
#pragma once

// A program that tells more apart than this does (two processors with AVX2, say) defines LPW_ABI itself, as any
// identifier.
#ifndef LPW_ABI
#if defined(__AVX512BF16__)
#define LPW_ABI_VECTORS avx512bf16
#elif defined(__AVX512F__)
#define LPW_ABI_VECTORS avx512
#elif defined(__AVX2__)
#define LPW_ABI_VECTORS avx2
#elif defined(__AVX__)
#define LPW_ABI_VECTORS avx
#elif defined(__SSE4_2__)
#define LPW_ABI_VECTORS sse4
#elif defined(__ARM_FEATURE_SVE)
#define LPW_ABI_VECTORS sve
#elif defined(__ARM_NEON)
#define LPW_ABI_VECTORS neon
#else
#define LPW_ABI_VECTORS base
#endif

#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define LPW_ABI_PRODUCTS fma
#else
#define LPW_ABI_PRODUCTS mul
#endif

#if defined(LPW_WITH_ONEDNN) && LPW_WITH_ONEDNN
#define LPW_ABI_LIBRARY onednn
#else
#define LPW_ABI_LIBRARY eigen
#endif

#define LPW_ABI_JOIN(vectors, products, library) vectors##_##products##_##library
#define LPW_ABI_EXPAND(vectors, products, library) LPW_ABI_JOIN(vectors, products, library)
#define LPW_ABI LPW_ABI_EXPAND(LPW_ABI_VECTORS, LPW_ABI_PRODUCTS, LPW_ABI_LIBRARY)
#endif

// Clang warns of a loop that is marked for vectorisation and that it could not vectorise; that it is slower there is
// not for lpw's users to mend. It names the function into which a loop was inlined, which may be one of theirs, so that
// the warning is off in the whole of a file that includes lpw: who wants it for loops of his own says so after the
// includes.
#ifdef __clang__
#pragma clang diagnostic ignored "-Wpass-failed"
#endif
