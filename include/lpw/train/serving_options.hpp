// How a run's members become one network at the end, what of them is served, and what is chosen by held-out samples:
// when training stops, too.
#pragma once

#include <cstdint>
#include <string_view>

#include <lpw/tensor/error.hpp>

namespace lpw::inline LPW_ABI::train {

/// How members are averaged at the end: all alike by either form of lpw::collapse, those of a greedy choice, or by
/// coefficients that are fitted; the last two by held-out samples.
enum class Averaging { affine, parameters, greedy, fitted };

/// What the headline of a summary is of.
enum class Served { collapsed, ensemble, snapshots, dropout };

/// The choices; each default is what a run does that says nothing.
struct ServingOptions {
  Averaging collapse = Averaging::affine;  // how members become one network
  bool convex = false;                     // fitted coefficients of at least 0
  bool best = false;                       // the best candidate by held-out samples is what is left
  Served served = Served::collapsed;       // what the summary's headline is of
  std::int64_t dropout_samples = 0;        // of Served::dropout
  std::int64_t patience = 0;  // epochs without a better held-out score after which training stops; 0: it does not

  /// Whether members are chosen, or weighed, by what they are.
  [[nodiscard]] bool chooses() const { return collapse == Averaging::greedy || collapse == Averaging::fitted; }
  /// Which field needs held-out samples; empty if none does.
  [[nodiscard]] std::string_view needs_held_out() const {
    if (best) return "`best`";
    if (collapse == Averaging::greedy) return "`collapse` greedy";
    if (collapse == Averaging::fitted) return "`collapse` fitted";
    if (patience > 0) return "`patience`";
    return {};
  }
};

/// Throws OptionError for what cannot work in a run that ends with so many members (1 where none are released), and
/// takes so many snapshots.
inline void validate(const ServingOptions& o, std::int64_t members, std::int64_t snapshots) {
  require<OptionError>(o.patience >= 0, "`patience` ", o.patience, "; expected at least 0");
  require<OptionError>(members > 1 || !o.chooses(), o.needs_held_out(),
                       ": fewer than two members are released, of which it would choose; leave `collapse` at affine");
  require<OptionError>(members > 1 || o.served != Served::ensemble,
                       "`serve` ensemble: fewer than two members are released; serve the collapsed network");
  require<OptionError>(snapshots > 0 || o.served != Served::snapshots,
                       "`serve` snapshots: none are taken; say how many in `snapshots`");
  require<OptionError>(o.served != Served::dropout || o.dropout_samples >= 1, "`serve` dropout: ", o.dropout_samples,
                       " samples; expected at least 1");
  require<OptionError>(o.collapse == Averaging::fitted || !o.convex,
                       "`convex`: coefficients are of `collapse` fitted alone; take that, or leave `convex` out");
  require<OptionError>(!o.best || (o.served != Served::ensemble && o.served != Served::snapshots),
                       "`best` leaves one plain network, and `serve` ",
                       o.served == Served::ensemble ? "ensemble" : "snapshots",
                       " is of several others; leave `best` out, or serve the collapsed network");
}

/// Throws OptionError where held-out samples are needed, and the task has none: a run that is over has none for ever.
inline void require_held_out(const ServingOptions& o, bool holds_out) {
  require<OptionError>(o.needs_held_out().empty() || holds_out, o.needs_held_out(),
                       " chooses by samples that are not trained on, and there are none; ",
                       o.best || !o.chooses() ? "" : "leave `collapse` at affine, or before training ",
                       "say how many in `held_out`");
}

}  // namespace lpw::inline LPW_ABI::train
