//! Extended attributes as libarchive writes them: names percent-encoded, values in Base64 without padding.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

pub(super) fn name(text: &[u8]) -> Option<Vec<u8>> {
    let mut pieces = text.split(|&byte| byte == b'%');
    let mut name = pieces.next()?.to_vec();
    for piece in pieces {
        let (digits, rest) = piece.split_at_checked(2)?;
        let digits = std::str::from_utf8(digits).ok()?;
        name.push(u8::from_str_radix(digits, 16).ok()?);
        name.extend_from_slice(rest);
    }
    Some(name)
}

pub(super) fn value(text: &[u8]) -> Option<Vec<u8>> {
    BASE64.decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_are_decoded() {
        assert_eq!(name(b"user.a%3db%25").unwrap(), b"user.a=b%");
        assert_eq!(value(b"dmFs").unwrap(), b"val");
        assert_eq!(value(b"dmE").unwrap(), b"va");
        assert_eq!(value(b"dmE=").unwrap(), b"va");
        assert_eq!(value(b"").unwrap(), b"");
        for bad in [&b"a%"[..], b"a%3", b"a%zz", b"a%\xff\xff"] {
            assert_eq!(name(bad), None, "{bad:?}");
        }
        for bad in [&b"d"[..], b"dm F", b"\xff"] {
            assert_eq!(value(bad), None, "{bad:?}");
        }
    }
}
