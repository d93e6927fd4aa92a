//! Free ranges below the end of what is stored, found by size.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

/// Disjoint free ranges, neighbours merged.
#[derive(Debug)]
pub(crate) struct FreeRanges {
    by_start: BTreeMap<u64, u64>,
    /// Starts of the ranges whose length has its highest bit at the index.
    by_class: Vec<BTreeSet<u64>>,
    blocks: u64,
}

/// Ranges of the request's own class that are tried before a larger class is taken.
const TRIES: usize = 16;

impl FreeRanges {
    pub(super) fn new() -> Self {
        Self {
            by_start: BTreeMap::new(),
            by_class: vec![BTreeSet::new(); u64::BITS as usize],
            blocks: 0,
        }
    }

    pub(crate) fn blocks(&self) -> u64 {
        self.blocks
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = Range<u64>> {
        self.by_start
            .iter()
            .map(|(&start, &length)| start..start + length)
    }

    pub(super) fn insert(&mut self, range: Range<u64>) {
        let (mut start, mut end) = (range.start, range.end);
        if start >= end {
            return;
        }
        if let Some((&before, &length)) = self.by_start.range(..start).next_back()
            && before + length == start
        {
            self.delete(before, length);
            start = before;
        }
        if let Some(&length) = self.by_start.get(&end) {
            self.delete(end, length);
            end += length;
        }
        self.by_start.insert(start, end - start);
        self.by_class[class(end - start)].insert(start);
        self.blocks += end - start;
    }

    /// Takes `count` blocks from the lowest range found that has them; the choice depends on nothing but
    /// the ranges.
    pub(super) fn take(&mut self, count: u64) -> Option<Range<u64>> {
        let wanted = class(count.max(1));
        let same = self.by_class[wanted]
            .iter()
            .copied()
            .take(TRIES)
            .find(|start| {
                self.by_start
                    .get(start)
                    .is_some_and(|&length| length >= count)
            });
        let larger = self.by_class[wanted + 1..]
            .iter()
            .filter_map(|c| c.first().copied())
            .min();
        let start = match (same, larger) {
            (Some(same), Some(larger)) => same.min(larger),
            (same, larger) => same.or(larger)?,
        };
        Some(self.cut(start, count))
    }

    /// Takes up to `count` blocks from the lowest range.
    pub(super) fn take_lowest(&mut self, count: u64) -> Option<Range<u64>> {
        let (&start, &length) = self.by_start.first_key_value()?;
        Some(self.cut(start, count.min(length)))
    }

    /// Removes the range that ends at `end`, and returns its start.
    pub(super) fn take_ending_at(&mut self, end: u64) -> Option<u64> {
        let (&start, &length) = self.by_start.range(..end).next_back()?;
        (start + length == end).then(|| {
            self.delete(start, length);
            start
        })
    }

    fn cut(&mut self, start: u64, count: u64) -> Range<u64> {
        let length = self.by_start[&start];
        self.delete(start, length);
        self.insert(start + count..start + length);
        start..start + count
    }

    fn delete(&mut self, start: u64, length: u64) {
        self.by_start.remove(&start);
        self.by_class[class(length)].remove(&start);
        self.blocks -= length;
    }
}

fn class(length: u64) -> usize {
    length.ilog2() as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn neighbours_merge_and_the_lowest_fit_is_taken() {
        let mut free_ranges = FreeRanges::new();
        free_ranges.insert(10..12);
        free_ranges.insert(14..20);
        free_ranges.insert(12..14);
        assert!(free_ranges.iter().eq(std::iter::once(10..20)));
        free_ranges.insert(2..5);
        assert_eq!(free_ranges.take(4), Some(10..14));
        assert_eq!(free_ranges.take(2), Some(2..4));
        assert_eq!(free_ranges.take(7), None);
        assert_eq!(free_ranges.take_ending_at(20), Some(14));
        assert_eq!(free_ranges.blocks(), 1);
    }

    proptest! {
        #[test]
        fn holes_agree_with_a_set_of_blocks(steps in prop::collection::vec((0_u64..200, 1_u64..20, any::<bool>()), 1..80)) {
            let mut free_ranges = FreeRanges::new();
            let mut free = BTreeSet::new();
            for (start, count, give) in steps {
                if give {
                    if (start..start + count).all(|block| !free.contains(&block)) {
                        free_ranges.insert(start..start + count);
                        free.extend(start..start + count);
                    }
                } else if let Some(range) = free_ranges.take(count) {
                    prop_assert_eq!(range.end - range.start, count);
                    for block in range {
                        prop_assert!(free.remove(&block));
                    }
                }
                prop_assert_eq!(free_ranges.blocks(), free.len() as u64);
                prop_assert!(free_ranges.iter().flatten().eq(free.iter().copied()));
            }
        }
    }
}
