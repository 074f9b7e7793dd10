// Declares what lpw::compiled holds of whole networks, and with that all that it holds; lpw.hpp includes it. A program
// that does not link lpw::compiled makes its own.
#pragma once

#include <lpw/autograd/compiled.hpp>
#include <lpw/io/model.hpp>
#include <lpw/late_phase/collapse.hpp>
#include <lpw/late_phase/release.hpp>
#include <lpw/models/image_network.hpp>
#include <lpw/models/language_model.hpp>
#include <lpw/optim/adam.hpp>
#include <lpw/optim/make_optimizer.hpp>
#include <lpw/optim/sgd.hpp>

#if LPW_COMPILED
#define LPW_TEMPLATE extern template

#define LPW_NETWORK lpw::nn::WideResNet<float, lpw::Cpu>
#include <lpw/compiled_network.inc>
#undef LPW_NETWORK
#define LPW_NETWORK lpw::nn::ImageNetwork<float, lpw::Cpu>
#include <lpw/compiled_network.inc>
#undef LPW_NETWORK
#define LPW_NETWORK lpw::nn::LanguageModel<float, lpw::Cpu>
#include <lpw/compiled_network.inc>
#undef LPW_NETWORK

#undef LPW_TEMPLATE
#endif
