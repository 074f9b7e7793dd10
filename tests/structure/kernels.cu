// Every kernel in every element type and width that launches may ask for. Compiled to machine code, to
// which kernel_resources.sh and machine_code.py look, never run.
#include <lpw/kernels/ascent.cuh>
#include <lpw/kernels/augment.cuh>
#include <lpw/kernels/average_pooling.cuh>
#include <lpw/kernels/batch_norm.cuh>
#include <lpw/kernels/coupling.cuh>
#include <lpw/kernels/elementwise.cuh>
#include <lpw/kernels/elementwise_loss.cuh>
#include <lpw/kernels/embedding.cuh>
#include <lpw/kernels/group_norm.cuh>
#include <lpw/kernels/gru_cell.cuh>
#include <lpw/kernels/kl_divergence.cuh>
#include <lpw/kernels/lstm_cell.cuh>
#include <lpw/kernels/mapping.cuh>
#include <lpw/kernels/members.cuh>
#include <lpw/kernels/optimizer.cuh>
#include <lpw/kernels/pooling.cuh>
#include <lpw/kernels/rank_one.cuh>
#include <lpw/kernels/rank_one_backward.cuh>
#include <lpw/kernels/sample_mean.cuh>
#include <lpw/kernels/softmax.cuh>
#include <lpw/kernels/softmax_cross_entropy.cuh>
#include <lpw/kernels/softmax_loss.cuh>
#include <lpw/kernels/text_windows.cuh>

namespace lpw::kernels {

/// Taking a kernel's address instantiates it.
template <class... Parameters>
const void* address(void (*kernel)(Parameters...)) {
  return reinterpret_cast<const void*>(kernel);
}

template <class T, int N>
const void* const of_width[] = {address(augment<T, N>),
                                address(batch_norm_forward<T, N>),
                                address(batch_norm_backward<T, N>),
                                address(apply_function<T, T, T, N>),
                                address(relu_forward<T, N>),
                                address(relu_backward<T, N>),
                                address(add<T, N>),
                                address(dropout<T, N>),
                                address(affine_forward<T, N>),
                                address(add_channels<T, N>),
                                address(max_pool2d_forward<T, N>),
                                address(max_pool2d_backward<T, N>),
                                address(average_pool2d_forward<T, N>),
                                address(average_pool2d_backward<T, N>),
                                address(global_average_pool_forward<T, N>),
                                address(global_average_pool_backward<T, N>),
                                address(scale_channels<T, N>),
                                address(scale_channels_backward<T, N>),
                                address(softmax_forward<T, N>),
                                address(softmax_backward<T, N>),
                                address(softmax_cross_entropy<T, N>),
                                address(softmax_cross_entropy_backward<T, N>),
                                address(elementwise_loss<T, N>),
                                address(elementwise_loss_backward<T, N>),
                                address(softmax_loss<T, N>),
                                address(softmax_loss_backward<T, N>),
                                address(kl_divergence<T, N>),
                                address(kl_divergence_backward<T, N>),
                                address(group_norm_forward<T, N>),
                                address(group_norm_backward<T, N>),
                                address(group_norm_parameters<T, N>),
                                address(mean_rows<T, N>),
                                address(embedding<T, N>),
                                address(embedding_backward<T, N>)};

template <class T, int N>
const void* const of_units[] = {address(lstm_cell_forward<T, N>), address(lstm_cell_backward<T, N>),
                                address(gru_cell_forward<T, N>), address(gru_cell_backward<T, N>)};

template <class T, int N>
const void* const of_conversion[] = {address(convert<float, T, N>), address(convert<T, float, N>)};

template <class T>
const void* const of_parameters[] = {address(apply_function<T, float, T, widest<T>>),
                                     address(apply_function<T, float, T, 1>), address(sum_function<T, float, float>),
                                     address(sum_function<float, float, T>)};

template <class T>
const void* const of_type[] = {address(sgd_step<T>),
                               address(adam_step<T>),
                               address(count_correct<T>),
                               address(sum_function<T, T, T>),
                               of_width<T, widest<T>>,
                               of_width<T, 1>,
                               of_units<T, 4>,
                               of_units<T, 1>};

const void* const all[] = {address(fill<float>),
                           of_conversion<bfloat16, 8>,
                           of_conversion<bfloat16, 1>,
                           of_conversion<half, 8>,
                           of_conversion<half, 1>,
                           of_type<float>,
                           of_type<bfloat16>,
                           of_type<half>,
                           of_parameters<bfloat16>,
                           of_parameters<half>,
                           address(move_average<4>),
                           address(move_average<1>),
                           address(add_row_backward<4>),
                           address(add_row_backward<1>),
                           address(pull_to_mean<4>),
                           address(pull_to_mean<1>),
                           address(pull_to_centre<4>),
                           address(pull_to_centre<1>),
                           address(swap_members<float>),
                           address(ascent_scale<4>),
                           address(ascent_scale<1>),
                           address(ascend_weights<4>),
                           address(ascend_weights<1>),
                           address(release_rows<float>),
                           address(sample_mean<float>),
                           address(sample_mean_backward<float>),
                           address(clip_factor<float>),
                           address(rank_one_backward<float>),
                           address(rank_one_backward_input<float>),
                           address(count_digits<SortPass>),
                           address(scan_digits<SortPass>),
                           address(scatter_places<SortPass>),
                           address(text_windows<std::int32_t>)};

/// Keeps the table.
const void* kernel(int i) { return all[i]; }

}  // namespace lpw::kernels
