//! Tells of most keys that a run doesn't hold them, without a look at the disk. Wrong for one key in some five hundred that isn't there, never for
//! one that is.
//!
//! A Bloom filter whose bits of one key lie within 64 octets: one look into memory, whatever its size.

/// Per row, so that a run of a million takes 2 MB. Each wrong answer costs a read of a block.
const BITS: u64 = 16;

/// Bits set per key.
const PROBES: u32 = 6;

/// Octets in which the bits of one key lie.
const BLOCK: usize = 64;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filter(Vec<u8>);

/// FNV-1a with a finisher, so that all bits depend on all octets. Part of the stored form.
pub fn hash(key: &[u8]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    for octet in key {
        hash = (hash ^ u64::from(*octet)).wrapping_mul(0x0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

impl Filter {
    /// For at most so many rows.
    pub fn new(rows: u64) -> Filter {
        let blocks = usize::try_from(rows.saturating_mul(BITS) / 512).unwrap_or(usize::MAX / BLOCK).saturating_add(1);
        Filter(vec![0; blocks.saturating_mul(BLOCK)])
    }

    /// `None`: that is no filter.
    pub fn from_bytes(bytes: Vec<u8>) -> Option<Filter> {
        (!bytes.is_empty() && bytes.len().is_multiple_of(BLOCK)).then_some(Filter(bytes))
    }

    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    pub fn add(&mut self, hash: u64) {
        let range = self.block(hash);
        if let Some(block) = self.0.get_mut(range) {
            bits(hash).for_each(|(octet, mask)| {
                if let Some(octet) = block.get_mut(octet) {
                    *octet |= mask;
                }
            });
        }
    }

    /// `false`: it surely isn't there.
    pub fn may_hold(&self, hash: u64) -> bool {
        let Some(block) = self.0.get(self.block(hash)) else { return true };
        bits(hash).all(|(octet, mask)| block.get(octet).is_none_or(|octet| octet & mask != 0))
    }

    fn block(&self, hash: u64) -> std::ops::Range<usize> {
        let blocks = u64::try_from(self.0.len() / BLOCK).unwrap_or(1);
        let place = (u128::from(hash) * u128::from(blocks)) >> 64;
        let start = usize::try_from(place).unwrap_or(0).saturating_mul(BLOCK);
        start..start.saturating_add(BLOCK)
    }
}

/// Octet and bit in a block, from the lower half: the upper one chose the block.
fn bits(hash: u64) -> impl Iterator<Item = (usize, u8)> {
    let low = hash & 0xffff_ffff;
    let (first, step) = (low, (low >> 16) | 1);
    (0..u64::from(PROBES)).map(move |probe| {
        let bit = first.wrapping_add(probe.wrapping_mul(step)) & 511;
        (usize::try_from(bit >> 3).unwrap_or(0), 1 << (bit & 7))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holds_all_and_few_others() {
        let mut filter = Filter::new(20_000);
        for n in 0..20_000_u32 {
            filter.add(hash(&n.to_be_bytes()));
        }
        let filter = Filter::from_bytes(filter.bytes().to_vec()).unwrap();
        assert!((0..20_000_u32).all(|n| filter.may_hold(hash(&n.to_be_bytes()))));
        let wrong = (20_000..120_000_u32).filter(|n| filter.may_hold(hash(&n.to_be_bytes()))).count();
        assert!(wrong < 400, "{wrong} of 100,000");
        assert!(!Filter::new(0).may_hold(hash(b"x")));
        assert_eq!(Filter::from_bytes(vec![1; 63]), None);
    }
}
