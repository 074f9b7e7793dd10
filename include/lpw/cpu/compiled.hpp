// Declares the primitives that lpw::compiled holds. A program that does not link it makes its own. LPW_COMPILED is 1
// for those of float, 2 in this project's own build, whose library holds those of double and bfloat16 as well.
#pragma once

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/ascent.hpp>
#include <lpw/cpu/average_pooling.hpp>
#include <lpw/cpu/batch_norm.hpp>
#include <lpw/cpu/conv2d.hpp>
#include <lpw/cpu/coupling.hpp>
#include <lpw/cpu/cross_entropy.hpp>
#include <lpw/cpu/dropout.hpp>
#include <lpw/cpu/elementwise.hpp>
#include <lpw/cpu/elementwise_loss.hpp>
#include <lpw/cpu/embedding.hpp>
#include <lpw/cpu/group_norm.hpp>
#include <lpw/cpu/gru.hpp>
#include <lpw/cpu/kl_divergence.hpp>
#include <lpw/cpu/linear.hpp>
#include <lpw/cpu/lstm.hpp>
#include <lpw/cpu/members.hpp>
#include <lpw/cpu/optimizer.hpp>
#include <lpw/cpu/pooling.hpp>
#include <lpw/cpu/rank_one.hpp>
#include <lpw/cpu/sample_mean.hpp>
#include <lpw/cpu/softmax_loss.hpp>

#if LPW_COMPILED
#define LPW_TEMPLATE extern template

#define LPW_T float
#include <lpw/cpu/compiled_convolution.inc>
#include <lpw/cpu/compiled_primitives.inc>
#include <lpw/cpu/compiled_stores.inc>
#undef LPW_T
#if LPW_COMPILED > 1
#define LPW_T double
#include <lpw/cpu/compiled_convolution.inc>
#include <lpw/cpu/compiled_primitives.inc>
#include <lpw/cpu/compiled_stores.inc>
#undef LPW_T
#define LPW_T lpw::bfloat16
#include <lpw/cpu/compiled_convolution.inc>
#include <lpw/cpu/compiled_primitives.inc>
#undef LPW_T
#endif

#undef LPW_TEMPLATE
#endif
