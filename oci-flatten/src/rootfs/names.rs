//! Where file names lie: packed into large chunks, since an allocation per name would cost more than the name.

/// Names start at multiples of this, so that a word of 32 bits reaches 32 GiB.
const UNIT: usize = 8;
/// Units of one chunk, 32 MiB, of which the system gives only what is used, and takes all back; chunks never move.
const CHUNK_UNITS: usize = 4 << 20;
/// A name of 255 bytes takes so many units.
const MAX_UNITS: usize = 256 / UNIT;

/// A stored name.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    unit: u32,
    length: u8,
}

impl Name {
    /// Which chunk the name is in.
    pub(super) fn chunk(self) -> usize {
        place(self).0
    }
}

/// All names of a tree; room of removed names is used again.
#[derive(Debug, Default)]
pub(super) struct Names {
    chunks: Vec<Box<[u8]>>,
    /// Units of the last chunk in use.
    used: usize,
    /// Free room, by size in units less one.
    free: [Vec<u32>; MAX_UNITS],
    /// Units in use.
    live: u64,
}

impl Names {
    /// Stores a name of 1 to 255 bytes; `None` if 32 GiB of names are there already.
    pub(super) fn insert(&mut self, name: &[u8]) -> Option<Name> {
        let length = u8::try_from(name.len()).ok()?;
        let units = units(length);
        let unit = match self.free[units - 1].pop() {
            Some(unit) => unit,
            None => self.grow(units)?,
        };
        self.live += units as u64;
        let name_at = Name { unit, length };
        self.bytes_mut(name_at).copy_from_slice(name);
        Some(name_at)
    }

    fn grow(&mut self, units: usize) -> Option<u32> {
        if self.chunks.is_empty() || self.used + units > CHUNK_UNITS {
            self.chunks
                .push(vec![0; CHUNK_UNITS * UNIT].into_boxed_slice());
            self.used = 0;
        }
        let unit = (self.chunks.len() - 1) * CHUNK_UNITS + self.used;
        self.used += units;
        u32::try_from(unit).ok()
    }

    pub(super) fn remove(&mut self, name: Name) {
        let units = units(name.length);
        self.free[units - 1].push(name.unit);
        self.live -= units as u64;
    }

    pub(super) fn bytes(&self, name: Name) -> &[u8] {
        let (chunk, start) = place(name);
        &self.chunks[chunk][start..start + usize::from(name.length)]
    }

    fn bytes_mut(&mut self, name: Name) -> &mut [u8] {
        let (chunk, start) = place(name);
        &mut self.chunks[chunk][start..start + usize::from(name.length)]
    }

    /// How many chunks there are.
    pub(super) fn chunks(&self) -> usize {
        self.chunks.len()
    }

    /// Frees a chunk of whose names none will be asked for any more.
    pub(super) fn forget_chunk(&mut self, chunk: usize) {
        self.chunks[chunk] = Box::default();
    }

    /// Memory of the names in use.
    pub(super) fn live_bytes(&self) -> u64 {
        self.live * UNIT as u64
    }
}

fn units(length: u8) -> usize {
    usize::from(length).div_ceil(UNIT).max(1)
}

fn place(name: Name) -> (usize, usize) {
    let unit = name.unit as usize;
    (unit / CHUNK_UNITS, unit % CHUNK_UNITS * UNIT)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_is_used_again() {
        let mut names = Names::default();
        let stored: Vec<_> = (0..10_000u32)
            .map(|index| {
                names
                    .insert(format!("name-{index}").as_bytes())
                    .expect("room")
            })
            .collect();
        let chunks = names.chunks.len();
        for (index, name) in stored.iter().enumerate() {
            assert_eq!(names.bytes(*name), format!("name-{index}").as_bytes());
            names.remove(*name);
        }
        assert_eq!(names.live_bytes(), 0);
        for index in 0..10_000u32 {
            names
                .insert(format!("eman-{index}").as_bytes())
                .expect("room");
        }
        assert_eq!(names.chunks.len(), chunks);
        let longest = names.insert(&[b'x'; 255]).expect("room");
        assert_eq!(names.bytes(longest), [b'x'; 255]);
    }
}
