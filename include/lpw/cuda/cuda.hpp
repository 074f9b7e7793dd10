// The CUDA backend: the device Cuda and its overloads of all primitives. A program that includes this is compiled by
// nvcc and can use Tensor<T, Cuda>, and networks of it, like those on the CPU.
#pragma once

#include <lpw/cuda/activation.hpp>
#include <lpw/cuda/ascent.hpp>
#include <lpw/cuda/average_pooling.hpp>
#include <lpw/cuda/base/device.hpp>
#include <lpw/cuda/base/graph.hpp>
#include <lpw/cuda/base/host_copy.hpp>
#include <lpw/cuda/batch_norm.hpp>
#include <lpw/cuda/conv2d.hpp>
#include <lpw/cuda/coupling.hpp>
#include <lpw/cuda/cross_entropy.hpp>
#include <lpw/cuda/dropout.hpp>
#include <lpw/cuda/elementwise.hpp>
#include <lpw/cuda/elementwise_loss.hpp>
#include <lpw/cuda/embedding.hpp>
#include <lpw/cuda/group_norm.hpp>
#include <lpw/cuda/gru.hpp>
#include <lpw/cuda/kl_divergence.hpp>
#include <lpw/cuda/linear.hpp>
#include <lpw/cuda/lstm.hpp>
#include <lpw/cuda/mapping.hpp>
#include <lpw/cuda/matmul.hpp>
#include <lpw/cuda/members.hpp>
#include <lpw/cuda/optimizer.hpp>
#include <lpw/cuda/pooling.hpp>
#include <lpw/cuda/rank_one.hpp>
#include <lpw/cuda/sample_mean.hpp>
#include <lpw/cuda/softmax.hpp>
#include <lpw/cuda/softmax_loss.hpp>
