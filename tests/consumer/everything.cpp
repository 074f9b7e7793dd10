// Instantiates what lpw has for the CPU, for compilers that only check it: templates are warned of where they are used.
#include <lpw/lpw.hpp>
#include <lpw/train/image_classification.hpp>
#include <lpw/train/language_modelling.hpp>
#include <lpw/train/trainer.hpp>

#define LPW_TEMPLATE template

#define LPW_T float
#include <lpw/autograd/compiled_functions.inc>
#include <lpw/autograd/compiled_operations.inc>
#include <lpw/cpu/compiled_convolution.inc>
#include <lpw/cpu/compiled_primitives.inc>
#include <lpw/cpu/compiled_stores.inc>
#undef LPW_T
#define LPW_T double
#include <lpw/autograd/compiled_operations.inc>
#include <lpw/cpu/compiled_convolution.inc>
#include <lpw/cpu/compiled_primitives.inc>
#include <lpw/cpu/compiled_stores.inc>
#undef LPW_T
#define LPW_T lpw::bfloat16
#include <lpw/autograd/compiled_operations.inc>
#include <lpw/cpu/compiled_convolution.inc>
#include <lpw/cpu/compiled_primitives.inc>
#undef LPW_T

#define LPW_NETWORK lpw::nn::WideResNet<float, lpw::Cpu>
#include <lpw/compiled_network.inc>
template class lpw::train::Trainer<LPW_NETWORK, lpw::train::ImageClassification<LPW_NETWORK>>;
#undef LPW_NETWORK
#define LPW_NETWORK lpw::nn::LanguageModel<float, lpw::Cpu>
#include <lpw/compiled_network.inc>
template class lpw::train::Trainer<LPW_NETWORK, lpw::train::LanguageModelling<LPW_NETWORK>>;
#undef LPW_NETWORK

template class lpw::data::Loader<float>;
template class lpw::data::TextLoader<lpw::Cpu>;
