// Declares the operations that lpw::compiled holds. A program that does not link it makes its own.
#pragma once

#include <lpw/autograd/add_row.hpp>
#include <lpw/autograd/arithmetic.hpp>
#include <lpw/autograd/average_pooling.hpp>
#include <lpw/autograd/batch_norm.hpp>
#include <lpw/autograd/concat.hpp>
#include <lpw/autograd/conv2d.hpp>
#include <lpw/autograd/cross_entropy.hpp>
#include <lpw/autograd/dropout.hpp>
#include <lpw/autograd/elementwise.hpp>
#include <lpw/autograd/elementwise_loss.hpp>
#include <lpw/autograd/embedding.hpp>
#include <lpw/autograd/functions.hpp>
#include <lpw/autograd/group_norm.hpp>
#include <lpw/autograd/gru.hpp>
#include <lpw/autograd/kl_divergence.hpp>
#include <lpw/autograd/linear.hpp>
#include <lpw/autograd/lstm.hpp>
#include <lpw/autograd/matmul.hpp>
#include <lpw/autograd/permute.hpp>
#include <lpw/autograd/pooling.hpp>
#include <lpw/autograd/reshape.hpp>
#include <lpw/autograd/slice.hpp>
#include <lpw/autograd/softmax.hpp>
#include <lpw/autograd/sums.hpp>
#include <lpw/autograd/templates.hpp>

#if LPW_COMPILED
#define LPW_TEMPLATE extern template

#define LPW_T float
#include <lpw/autograd/compiled_operations.inc>
#if LPW_COMPILED == 1
#include <lpw/autograd/compiled_functions.inc>
#endif
#undef LPW_T
#if LPW_COMPILED > 1
#define LPW_T double
#include <lpw/autograd/compiled_operations.inc>
#undef LPW_T
#define LPW_T lpw::bfloat16
#include <lpw/autograd/compiled_operations.inc>
#undef LPW_T
#endif

#undef LPW_TEMPLATE
#endif
