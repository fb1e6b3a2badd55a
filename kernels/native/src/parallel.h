// Runs the blocks of one piece of work on a pool, the caller taking part.
#pragma once
#include <cstdint>
#include <functional>
#include <vector>

#include "kernels.h"

namespace kab {

// body(worker, block): worker is below worker_count(...), and no two run with one at a time.
using Body = std::function<void(int64_t worker, int64_t block)>;

// How many workers `for_each_block` uses for so many blocks that touch `elements` elements.
int64_t worker_count(const kab_workers* workers, int64_t blocks, int64_t elements);

void for_each_block(const kab_workers* workers, int64_t blocks, int64_t elements, const Body& body);

// Blocks of many tensors, numbered through: tensor i owns [first[i], first[i + 1]).
class Blocks {
 public:
  void add(int64_t blocks) { first_.push_back(first_.back() + blocks); }
  int64_t total() const { return first_.back(); }
  struct Place {
    int64_t tensor, block;
  };
  Place find(int64_t block) const;

 private:
  std::vector<int64_t> first_{0};
};

inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

}  // namespace kab
