//! Conversions of whole numbers by name, so that each says whether it keeps, cuts or checks.

/// Numbers that fit 64 bits and, on hosts of 32 bits and more, the address space.
pub(crate) trait Widen: Copy {
    /// The same number as a length or index.
    fn to_usize(self) -> usize;
    /// The same number.
    fn to_u64(self) -> u64;
}

macro_rules! widen {
    ($($type:ty),+) => {
        $(
            impl Widen for $type {
                fn to_usize(self) -> usize {
                    self as usize
                }

                fn to_u64(self) -> u64 {
                    self as u64
                }
            }
        )+
    };
}

widen!(u8, u16, u32, usize);

/// The two halves of a number, as the format stores them in fields apart.
pub(crate) trait Halves: Copy {
    type Half;

    /// The lower half of the bits.
    fn low(self) -> Self::Half;
    /// The upper half of the bits.
    fn high(self) -> Self::Half;
}

impl Halves for u32 {
    type Half = u16;

    fn low(self) -> u16 {
        (self & 0xffff) as u16
    }

    fn high(self) -> u16 {
        (self >> 16) as u16
    }
}

impl Halves for u64 {
    type Half = u32;

    fn low(self) -> u32 {
        (self & 0xffff_ffff) as u32
    }

    fn high(self) -> u32 {
        (self >> 32) as u32
    }
}

/// Numbers that the plan keeps within a field of the format.
pub(crate) trait Fit: Copy {
    /// The same number in 8 bits.
    fn fit_u8(self) -> u8;
    /// The same number in 16 bits.
    fn fit_u16(self) -> u16;
    /// The same number in 32 bits.
    fn fit_u32(self) -> u32;
    /// The same number as a length or index.
    fn fit_usize(self) -> usize;
}

macro_rules! fit {
    ($($type:ty),+) => {
        $(
            impl Fit for $type {
                fn fit_u8(self) -> u8 {
                    self.try_into().expect("the plan keeps it within 8 bits")
                }

                fn fit_u16(self) -> u16 {
                    self.try_into().expect("the plan keeps it within 16 bits")
                }

                fn fit_u32(self) -> u32 {
                    self.try_into().expect("the plan keeps it within 32 bits")
                }

                fn fit_usize(self) -> usize {
                    self.try_into().expect("the plan keeps it within memory")
                }
            }
        )+
    };
}

fit!(u32, u64, usize);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_are_the_number() {
        assert_eq!(
            (0x0102_0304_u32.low(), 0x0102_0304_u32.high()),
            (0x0304, 0x0102)
        );
        let number = 0x0102_0304_0506_0708_u64;
        assert_eq!((number.low(), number.high()), (0x0506_0708, 0x0102_0304));
        assert_eq!(
            u64::from(number.high()) << 32 | u64::from(number.low()),
            number
        );
    }

    #[test]
    fn what_fits_is_kept() {
        assert_eq!(
            (255_usize.fit_u8(), 65_535_u64.fit_u16(), 7_u32.fit_u32()),
            (255, 65_535, 7)
        );
        assert_eq!((u32::MAX.to_u64(), 9_u16.to_usize()), (0xffff_ffff, 9));
    }

    #[test]
    #[should_panic(expected = "within 16 bits")]
    fn what_does_not_fit_is_a_defect() {
        let _ = 65_536_u32.fit_u16();
    }
}
