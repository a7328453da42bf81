//! Indices into a menu, best first: the answer to `rank_proposals`, and what `rank_paths` has in common with it.

/// Indices into a menu's suites, best first. What is left out is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ranking {
    /// The indices; none twice.
    pub order: Vec<u32>,
    /// The reason, for the operator.
    pub why: Option<String>,
}

impl Ranking {
    /// Returns the ranking of these indices, without a reason.
    pub fn of(order: impl IntoIterator<Item = usize>) -> Self {
        Self { order: self::order(order), why: None }
    }

    /// Adds a reason.
    pub fn because(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    /// Tells whether every index names one of `count` items and none stands twice.
    pub fn is_of(&self, count: usize) -> bool {
        is_of(&self.order, count)
    }

    /// Returns the items in the ranking's order; an index out of range is passed over.
    pub fn pick<'a, T>(&self, items: &'a [T]) -> Vec<&'a T> {
        pick(&self.order, items)
    }
}

pub(crate) fn order(order: impl IntoIterator<Item = usize>) -> Vec<u32> {
    order.into_iter().filter_map(|at| u32::try_from(at).ok()).collect()
}

pub(crate) fn is_of(order: &[u32], count: usize) -> bool {
    let mut seen = vec![false; count];
    order.iter().all(|&index| {
        let slot = usize::try_from(index).ok().and_then(|index| seen.get_mut(index));
        slot.is_some_and(|slot| !std::mem::replace(slot, true))
    })
}

pub(crate) fn pick<'a, T>(order: &[u32], items: &'a [T]) -> Vec<&'a T> {
    order.iter().filter_map(|&index| items.get(usize::try_from(index).ok()?)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_index_out_of_range_or_twice_is_off_the_menu() {
        assert!(Ranking::of([1, 0]).is_of(2));
        assert!(Ranking::of([]).is_of(0));
        assert!(!Ranking::of([2]).is_of(2));
        assert!(!Ranking::of([1, 1]).is_of(2));
    }
}
