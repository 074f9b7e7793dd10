// Declares the primitives that lpw::compiled holds. A program that does not link it makes its own.
#pragma once

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/batch_norm.hpp>
#include <lpw/cpu/conv2d.hpp>
#include <lpw/cpu/cross_entropy.hpp>
#include <lpw/cpu/dropout.hpp>
#include <lpw/cpu/elementwise.hpp>
#include <lpw/cpu/embedding.hpp>
#include <lpw/cpu/linear.hpp>
#include <lpw/cpu/lstm.hpp>
#include <lpw/cpu/members.hpp>
#include <lpw/cpu/optimizer.hpp>
#include <lpw/cpu/pooling.hpp>
#include <lpw/cpu/rank_one.hpp>

#if LPW_COMPILED
#define LPW_TEMPLATE extern template

#define LPW_T float
#include <lpw/cpu/compiled_convolution.inc>
#include <lpw/cpu/compiled_primitives.inc>
#include <lpw/cpu/compiled_stores.inc>
#undef LPW_T

#undef LPW_TEMPLATE
#endif
