#include "unswift/audit/attack.h"
#include "unswift/base/registry.h"

namespace unswift {
namespace {

const Registry<const Attack*>& Attacks() {
  static const Registry<const Attack*> rows("attack",
                                            {{"direct", &kDirect},
                                             {"least_squares", &kLeastSquares},
                                             {"ratio", &kRatio},
                                             {"rank1", &kRank1},
                                             {"consistent_rounding", &kConsistentRounding},
                                             {"quantized", &kQuantized},
                                             {"black_box", &kBlackBox},
                                             {"align", &kAlign},
                                             {"collapse", &kCollapse}});
  return rows;
}

}  // namespace

std::vector<const Attack*> AllAttacks() {
  std::vector<const Attack*> attacks;
  for (const std::string& name : Attacks().Names()) attacks.push_back(Attacks().Find(name).value());
  return attacks;
}

Result<std::vector<const Attack*>> ParseAttacks(std::string_view names) {
  if (names == "all") return AllAttacks();
  std::vector<const Attack*> attacks;
  while (true) {
    const size_t comma = names.find(',');
    UNSWIFT_ASSIGN_OR_RETURN(const Attack* attack, Attacks().Find(names.substr(0, comma)));
    attacks.push_back(attack);
    if (comma == names.npos) return attacks;
    names.remove_prefix(comma + 1);
  }
}

}  // namespace unswift
