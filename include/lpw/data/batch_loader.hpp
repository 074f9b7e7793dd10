// Minibatches of anything, for an ensemble: a function of one's own makes tensors of chosen samples, and the loader
// says which (minibatch_plan.hpp), calls it ahead of their use (prefetch.hpp), and puts the members' axis in front. A
// minibatch is a function of its place in training, so that a resumed loop reads the same bits.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <tuple>
#include <type_traits>
#include <utility>

#include <lpw/data/minibatch_plan.hpp>
#include <lpw/data/place.hpp>
#include <lpw/data/prefetch.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/tensor.hpp>

namespace lpw::inline LPW_ABI::data {

namespace detail {

/// The tensors of what make_batch returned: itself, those of a tuple or pair, or what its tensors() ties together.
template <class T, class D>
[[nodiscard]] std::tuple<Tensor<T, D>&> tensors_of(Tensor<T, D>& tensor) {
  return {tensor};
}
template <class... Tensors>
[[nodiscard]] std::tuple<Tensors&...> tensors_of(std::tuple<Tensors...>& tensors) {
  return std::apply([](auto&... each) { return std::tie(each...); }, tensors);
}
template <class First, class Second>
[[nodiscard]] std::tuple<First&, Second&> tensors_of(std::pair<First, Second>& tensors) {
  return {tensors.first, tensors.second};
}
template <class Item>
  requires requires(Item& item) { item.tensors(); }
[[nodiscard]] auto tensors_of(Item& item) { return item.tensors(); }

/// Whether a loader can put the members' axis in front of what make_batch gives.
template <class Item>
struct HoldsTensors : std::false_type {};
template <class T, class D>
struct HoldsTensors<Tensor<T, D>> : std::true_type {};
template <class... Each>
struct HoldsTensors<std::tuple<Each...>> : std::bool_constant<(HoldsTensors<std::remove_cvref_t<Each>>::value && ...)> {
};
template <class First, class Second>
struct HoldsTensors<std::pair<First, Second>> : HoldsTensors<std::tuple<First, Second>> {};
template <class Item>
  requires requires(Item& item) { item.tensors(); }
struct HoldsTensors<Item> : HoldsTensors<decltype(std::declval<Item&>().tensors())> {};

/// The type of what make(samples, random) gives.
template <class Make>
using MadeBy = std::remove_cvref_t<std::invoke_result_t<const Make&, std::span<const std::int64_t>, const Philox&>>;

/// Calls f(number) with the number of each tensor of an item, as a constant.
template <class Item, class F>
void for_each_number(Item& item, F&& f) {
  [&]<std::size_t... number>(std::index_sequence<number...>) {
    (f(std::integral_constant<std::size_t, number>()), ...);
  }
  (std::make_index_sequence<std::tuple_size_v<decltype(tensors_of(item))>>());
}

/// The shape of K members' minibatches of a tensor that was made of so many samples. Throws ShapeError for one that has
/// other extents.
[[nodiscard]] inline Shape member_shape(const Shape& made, std::int64_t samples, std::size_t number,
                                        const Minibatch& minibatch) {
  require<ShapeError>(made.rank() >= 1 && made[0] == samples, "loader: make_batch gave tensor ", number, " as ", made,
                      " for ", samples, " samples; expected [", samples, ", ...]");
  return made.slice(1, made.rank()).prepend(minibatch.batch).prepend(minibatch.members);
}

/// Of one member's tensors [B, ...] the same for all members [K, B, ...], not yet filled.
template <class Item>
[[nodiscard]] Item room_for_members(Item item, const Minibatch& minibatch) {
  for_each_number(item, [&](auto number) {
    auto& tensor = std::get<number>(tensors_of(item));
    tensor =
        std::remove_reference_t<decltype(tensor)>(member_shape(tensor.shape(), minibatch.batch, number, minibatch));
  });
  return item;
}

/// Puts member k's tensors into those of all.
template <class Item>
void put_member(Item& from, Item& all, std::int64_t k, const Minibatch& minibatch) {
  for_each_number(from, [&](auto number) {
    auto& tensor = std::get<number>(tensors_of(from));
    auto row = std::get<number>(tensors_of(all)).rows(k, 1);
    const Shape shape = member_shape(tensor.shape(), minibatch.batch, number, minibatch).with(0, 1);
    require<ShapeError>(
        shape == row.shape(), "loader: make_batch gave tensor ", number, " as ", tensor.shape(), " for member ", k,
        ", and as ", row.shape().slice(1, row.shape().rank()),
        " for the first; members' must be alike: make the samples of one size, whichever are chosen, or "
        "all members' at once, make_batch(const lpw::data::Minibatch&)");
    copy(tensor.reshaped(shape), row);
  });
}

/// What make(samples, random) gives for all members: by one call where they draw from the same random numbers, else by
/// one for each.
template <class Make>
[[nodiscard]] MadeBy<Make> make_for_members(const Make& make, const Minibatch& minibatch) {
  const std::int64_t members = minibatch.members, batch = minibatch.batch, made = minibatch.alike ? 1 : members;
  const std::span<const std::int64_t> samples(minibatch.samples);
  if (members == 1 || (!minibatch.alike && minibatch.random.size() == 1)) {
    auto item = make(samples, minibatch.random_of(0));
    for_each_number(item, [&](auto number) {
      auto& tensor = std::get<number>(tensors_of(item));
      tensor = tensor.reshaped(member_shape(tensor.shape(), std::ssize(samples), number, minibatch));
    });
    return item;
  }
  auto first = make(samples.first(to_size(batch)), minibatch.random_of(0));
  auto all = room_for_members(first, minibatch);
  put_member(first, all, 0, minibatch);
  for (std::int64_t k = 1; k < made; ++k) {
    auto item = make(samples.subspan(to_size(k * batch), to_size(batch)), minibatch.random_of(k));
    put_member(item, all, k, minibatch);
  }
  for (std::int64_t k = made; k < members; ++k) put_member(first, all, k, minibatch);
  return all;
}

}  // namespace detail

/// make(samples, random) -> tensors [n, ...] of n samples, which a loader calls for minibatches: a Tensor, a tuple or
/// pair of tensors, each of its own type, or a struct whose tensors() ties them together. Called from a background
/// thread, and perhaps for several epochs at once: it changes nothing. What it draws, for sample i from random(i) or
/// PhiloxSequence(random, i, count), is then a function of the loader's seed, the epoch and the sample.
template <class Make>
concept MakesTensors = requires(const Make& make, std::span<const std::int64_t> samples, const Philox& random) {
  make(samples, random);
};
/// make(minibatch) -> anything, for all members: where the loader is not to put their axis in front.
template <class Make>
concept MakesMinibatches = requires(const Make& make, const Minibatch& minibatch) {
  make(minibatch);
};

namespace detail {

/// Of a function that is called as neither, nothing: the loader says so in a line.
template <class Make>
struct ItemOf {
  using type = std::tuple<>;
};
template <MakesTensors Make>
struct ItemOf<Make> {
  using type = MadeBy<Make>;
};
template <class Make>
  requires(MakesMinibatches<Make> && !MakesTensors<Make>)
struct ItemOf<Make> {
  using type = std::remove_cvref_t<std::invoke_result_t<const Make&, const Minibatch&>>;
};

}  // namespace detail

/// Epochs of minibatches [K, B, ...] of `count` samples, whatever these are.
///
///     const lpw::data::BatchLoader loader(count, make_batch, {.batch = 50});
///     for (auto& [x, y] : loader.epoch(place, members)) ...
///
/// It must outlive its epochs, as must what make_batch refers to.
template <class Make>
class BatchLoader {
  static_assert(MakesTensors<Make> || MakesMinibatches<Make>,
                "lpw: a loader calls make_batch(std::span<const std::int64_t> samples, const lpw::Philox& random), or "
                "make_batch(const lpw::data::Minibatch&), and does so where it is const");

 public:
  /// What make gives for all members together.
  using Item = typename detail::ItemOf<Make>::type;
  /// Of minibatches that are made ahead.
  using Epoch = Prefetch<Item>;
  static_assert(!MakesTensors<Make> || detail::HoldsTensors<Item>::value,
                "lpw: make_batch(samples, random) gives a lpw::Tensor, a std::tuple or std::pair of them, or a struct "
                "whose tensors() ties them together; lpw::tensor_of makes one of a std::vector");

  /// Throws OptionError for options that do not fit so many samples.
  BatchLoader(std::int64_t count, Make make_batch, const MinibatchOptions& options = {})
      : plan_(count, options), make_(std::move(make_batch)), ahead_(options.ahead) {}

  /// Who reads which samples.
  [[nodiscard]] const MinibatchPlan& plan() const { return plan_; }
  /// What makes minibatches.
  [[nodiscard]] const Make& make() const { return make_; }
  /// As MinibatchPlan.
  [[nodiscard]] std::int64_t iterations(std::int64_t members = 1) const { return plan_.iterations(members); }
  /// As MinibatchPlan.
  [[nodiscard]] std::int64_t samples(std::int64_t members = 1) const { return plan_.samples(members); }

  /// The minibatches of an epoch from iteration `first_iteration` on; they do not depend on where one starts, nor on
  /// how many are made ahead, `ahead` or as the options say. The order is epoch_order(count, seed, epoch), or the
  /// stored one without shuffle: member k of iteration i gets its entries from (i K + k) B on, with MemberData::same
  /// those from i B on, and with MemberData::whole those of the order of member_seed(seed, k). What make_batch throws
  /// is thrown where the minibatch would be read. Throws OptionError for an argument out of range.
  [[nodiscard]] Epoch epoch(std::int64_t epoch, const ReadMembers& members = 1, std::int64_t first_iteration = 0,
                            std::optional<std::size_t> ahead = {}) const& {
    return Epoch(
        plan_.iterations_from(epoch, members.all, first_iteration),
        [this, members, first_iteration, epoch, orders = MinibatchPlan::Orders()](std::int64_t i) mutable {
          if (orders.empty()) orders = plan_.orders(epoch, members);  // in the background thread
          return make_item(plan_.minibatch(orders, epoch, members, first_iteration + i));
        },
        ahead.value_or(ahead_));
  }
  Epoch epoch(std::int64_t, const ReadMembers& = 1, std::int64_t = 0, std::optional<std::size_t> = {}) const&& = delete;
  /// The same from a place on.
  [[nodiscard]] Epoch epoch(const Place& place, const ReadMembers& members = 1) const& {
    return epoch(place.epoch, members, place.iteration);
  }
  Epoch epoch(const Place&, const ReadMembers& = 1) const&& = delete;

 private:
  [[nodiscard]] Item make_item(const Minibatch& minibatch) const {
    if constexpr (!MakesTensors<Make> && MakesMinibatches<Make>) {
      return make_(minibatch);
    } else if constexpr (detail::HoldsTensors<Item>::value && MakesTensors<Make>) {
      return detail::make_for_members(make_, minibatch);
    } else {
      fail("no minibatches");  // not compiled
    }
  }

  MinibatchPlan plan_;
  Make make_;
  std::size_t ahead_;
};

}  // namespace lpw::inline LPW_ABI::data
