// Which samples each member of an ensemble reads in each iteration: every member gets its own minibatches (the method's
// Algorithm 1), and an epoch still visits every sample once, but for up to K - 1 that K members cannot share; or all
// get the same, or each visits every sample (MemberData). The order of an epoch is a permutation drawn from (seed,
// epoch) alone, and iterations take consecutive stretches of it. A minibatch is therefore a function of its place in
// training, which is what makes a resumed run read the same data. What a sample is, nothing here knows.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <utility>
#include <vector>

#include <lpw/data/member_data.hpp>
#include <lpw/tensor/error.hpp>
#include <lpw/tensor/philox.hpp>
#include <lpw/tensor/to_size.hpp>

namespace lpw::inline LPW_ABI::data {

/// How an epoch is cut into minibatches, and when they are made.
struct MinibatchOptions {
  std::int64_t batch =
      128;  // samples per member and iteration; the last may have fewer, or one more (see MinibatchPlan::iterations)
  bool shuffle = true;                       // each epoch in an order of its own
  std::uint64_t seed = 0;                    // of the order
  MemberData member_data = MemberData::own;  // whether members read minibatches of their own
  std::size_t ahead = 2;  // minibatches that a background thread makes in advance; 0: each is made when it is read
};

/// One iteration: B samples for each of K members, and their random numbers.
struct Minibatch {
  std::vector<std::int64_t> samples;    // [K B], member after member
  std::int64_t members = 1, batch = 0;  // K, or as many of them as are made, and B
  bool alike = false;                   // all members' samples, and what is made of them, are the first's
  std::vector<Philox> random;           // of each member where they differ, else one

  /// What member k's samples draw from, by their number: the same for a sample in whichever minibatch of the epoch.
  [[nodiscard]] const Philox& random_of(std::int64_t k) const { return random[random.size() == 1 ? 0 : to_size(k)]; }
};

/// The order in which an epoch visits `count` samples: a uniform permutation (Fisher and Yates), the same for any batch
/// size, number of members or threads.
[[nodiscard]] inline std::vector<std::int64_t> epoch_order(std::int64_t count, std::uint64_t seed,
                                                           std::uint32_t epoch) {
  std::vector<std::int64_t> order(to_size(count));
  std::iota(order.begin(), order.end(), std::int64_t{0});
  const Philox random(seed, Stream::order, epoch);
  for (std::size_t i = order.size(); i-- > 1;)
    std::swap(order[i], order[random.below(i, static_cast<std::uint32_t>(i + 1))]);
  return order;
}

/// Which samples every member gets in every iteration of an epoch.
class MinibatchPlan {
 public:
  /// An epoch's orders: one, or with MemberData::whole one for each member.
  using Orders = std::vector<std::vector<std::int64_t>>;

  /// Throws OptionError for options that do not fit a set of `count` samples.
  MinibatchPlan(std::int64_t count, const MinibatchOptions& options) : count_(count), options_(options) {
    require<OptionError>(count > 0, "loader: expected at least 1 sample, found ", count);
    require<OptionError>(options.batch > 0, "loader: expected a batch of at least 1 sample, found ", options.batch);
    require<OptionError>(count <= std::numeric_limits<std::uint32_t>::max(), "loader: ", count,
                         " samples are more than 2^32 - 1");
  }

  /// Iterations of an epoch. Where P members take their minibatches from one order (all of them with MemberData::own,
  /// else each for itself, so that P = 1), each iteration takes P * batch samples of it; the r samples that remain form
  /// a last, smaller one of r / P (rounded down) per member, if that is not zero. One sample per member, of which batch
  /// norm could learn nothing, joins the iteration before, unless batches are of one sample anyway. So an epoch leaves
  /// out r mod P samples, others each time, and no more. Throws OptionError unless 0 < members, and with
  /// MemberData::own members <= the number of samples.
  [[nodiscard]] std::int64_t iterations(std::int64_t members) const {
    const std::int64_t full = per_member(members) * sharing(members);
    return count_ / full + (count_ % full >= sharing(members) && !joins(members));
  }
  /// Whether an epoch's last iteration has a sample more per member than the others: one that would have been left
  /// over.
  [[nodiscard]] bool joins(std::int64_t members) const {
    const std::int64_t batch = per_member(members), parts = sharing(members);
    return batch > 1 && count_ % (batch * parts) / parts == 1;
  }
  /// Most samples per member of an iteration.
  [[nodiscard]] std::int64_t largest(std::int64_t members) const { return per_member(members) + joins(members); }
  /// Samples that an epoch visits with so many members, but for those that it leaves out.
  [[nodiscard]] std::int64_t samples(std::int64_t members) const {
    return options_.member_data == MemberData::own ? count_ : count_ * members;
  }
  /// The iterations from `first_iteration` on. Throws OptionError for an argument out of range.
  [[nodiscard]] std::int64_t iterations_from(std::int64_t epoch, std::int64_t members,
                                             std::int64_t first_iteration) const {
    require<OptionError>(epoch >= 0 && epoch <= std::numeric_limits<std::uint32_t>::max(),
                         "loader: expected an epoch from 0 to 2^32 - 1, found ", epoch);
    const std::int64_t count = iterations(members);
    require<OptionError>(first_iteration >= 0 && first_iteration <= count,
                         "loader: expected a first iteration from 0 to ", count, ", found ", first_iteration);
    return count - first_iteration;
  }
  /// Samples per member of iteration `iteration` of an epoch, from 0 to iterations(members) - 1.
  [[nodiscard]] std::int64_t batch(std::int64_t members, std::int64_t iteration) const {
    const std::int64_t full = per_member(members), parts = sharing(members),
                       left = (count_ - iteration * parts * full) / parts;
    return left == full + 1 && joins(members) ? left : std::min(full, left);
  }
  /// epoch_order, or the stored order without shuffle; of the members whose minibatches are made.
  [[nodiscard]] Orders orders(std::int64_t epoch, const ReadMembers& members) const {
    require<OptionError>(members.first >= 0 && members.count > 0 && members.count <= members.all - members.first,
                         "loader: members ", members.first, " to ", members.first + members.count - 1, " of ",
                         members.all, "; expected some from 0 to ", members.all - 1);
    require<OptionError>(members.part >= 0 && members.part < members.parts, "loader: part ", members.part, " of ",
                         members.parts, " of each minibatch; expected one from 0 to ", members.parts - 1);
    const std::int64_t count = options_.member_data == MemberData::whole ? members.count : 1;
    Orders orders;
    for (std::int64_t k = 0; k < count; ++k) orders.push_back(order(epoch, seed(members.first + k)));
    return orders;
  }
  /// The samples [members.count * batch] of an iteration, or of its part, member after member.
  [[nodiscard]] std::vector<std::int64_t> chosen(const Orders& orders, const ReadMembers& members,
                                                 std::int64_t iteration) const {
    const std::int64_t size = batch(members.all, iteration),
                       first = iteration * sharing(members.all) * per_member(members.all);
    const auto [made, before] = members.samples_of(size);
    std::vector<std::int64_t> result;
    result.reserve(to_size(members.count * made));
    for (std::int64_t k = 0; k < members.count; ++k) {
      const auto& order = orders[orders.size() == 1 ? 0 : to_size(k)];
      const std::int64_t begin =
          first + (options_.member_data == MemberData::own ? (members.first + k) * size : 0) + before;
      result.insert(result.end(), order.begin() + begin, order.begin() + begin + made);
    }
    return result;
  }
  /// What an iteration is made of.
  [[nodiscard]] Minibatch minibatch(const Orders& orders, std::int64_t epoch, const ReadMembers& members,
                                    std::int64_t iteration) const {
    Minibatch result{.samples = chosen(orders, members, iteration),
                     .members = members.count,
                     .batch = members.samples_of(batch(members.all, iteration)).first,
                     .alike = options_.member_data == MemberData::same,
                     .random = {}};
    const std::int64_t seeds = options_.member_data == MemberData::whole ? members.count : 1;
    for (std::int64_t k = 0; k < seeds; ++k)
      result.random.push_back(Philox(seed(members.first + k), Stream::crop, static_cast<std::uint32_t>(epoch)));
    return result;
  }
  /// Of member k's order and random numbers.
  [[nodiscard]] std::uint64_t seed(std::int64_t k) const {
    return options_.member_data == MemberData::whole ? member_seed(options_.seed, k) : options_.seed;
  }

 private:
  /// Members that take their minibatches from one order, one after another.
  [[nodiscard]] std::int64_t sharing(std::int64_t members) const {
    return options_.member_data == MemberData::own ? members : 1;
  }
  [[nodiscard]] std::int64_t per_member(std::int64_t members) const {
    const bool own = options_.member_data == MemberData::own;
    require<OptionError>(members > 0 && (!own || members <= count_), "loader: expected from 1 to ", count_,
                         " members (one sample each), found ", members);
    return std::min(options_.batch, count_ / sharing(members));
  }
  [[nodiscard]] std::vector<std::int64_t> order(std::int64_t epoch, std::uint64_t seed) const {
    if (options_.shuffle) return epoch_order(count_, seed, static_cast<std::uint32_t>(epoch));
    std::vector<std::int64_t> order(to_size(count_));
    std::iota(order.begin(), order.end(), std::int64_t{0});
    return order;
  }

  std::int64_t count_;
  MinibatchOptions options_;
};

}  // namespace lpw::inline LPW_ABI::data
