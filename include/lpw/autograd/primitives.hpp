// The primitives of every device this build has. Operations call them by name; the tensors' device picks the overload.
#pragma once

#include <lpw/cpu/activation.hpp>
#include <lpw/cpu/ascent.hpp>
#include <lpw/cpu/batch_norm.hpp>
#include <lpw/cpu/compiled.hpp>
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
#include <lpw/cpu/mapping.hpp>
#include <lpw/cpu/members.hpp>
#include <lpw/cpu/optimizer.hpp>
#include <lpw/cpu/pooling.hpp>
#include <lpw/cpu/rank_one.hpp>
#include <lpw/cpu/sample_mean.hpp>
#include <lpw/cpu/softmax_loss.hpp>
