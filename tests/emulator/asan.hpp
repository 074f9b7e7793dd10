// LPW_ASAN: whether this is compiled for AddressSanitizer.
#pragma once

#if defined(__SANITIZE_ADDRESS__)
#define LPW_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LPW_ASAN 1
#endif
#endif
#if !defined(LPW_ASAN)
#define LPW_ASAN 0
#endif
