// The version of lpw, which CMake and all packages read from here. Semantic: before 1.0 a new minor version may break
// programs, which CHANGELOG.md says, and a new patch does not.
#pragma once

// Macros, so that the preprocessor can ask.
/// Changes that break programs, from 1.0 on.
#define LPW_VERSION_MAJOR 0
/// What is new; before 1.0, what breaks programs too.
#define LPW_VERSION_MINOR 1
/// What is mended.
#define LPW_VERSION_PATCH 0
/// One number to compare: LPW_VERSION >= 200 is 0.2.0 or later.
#define LPW_VERSION (LPW_VERSION_MAJOR * 10000 + LPW_VERSION_MINOR * 100 + LPW_VERSION_PATCH)
