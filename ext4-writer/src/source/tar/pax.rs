//! PAX records: `length key=value`, each with a new line behind it, which values may contain as well.

use std::io;

use super::malformed;

/// Takes records apart, as keys and values.
pub(super) fn records(mut bytes: &[u8]) -> impl Iterator<Item = io::Result<(&[u8], &[u8])>> {
    std::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let split = split(bytes);
        bytes = split.map_or(&[], |(_, _, rest)| rest);
        let record = split.map(|(key, value, _)| (key, value));
        Some(record.ok_or_else(|| malformed("malformed PAX record")))
    })
}

/// Key and value of the first record, and the rest.
fn split(bytes: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let blank = bytes.iter().position(|&byte| byte == b' ')?;
    let length = usize::try_from(decimal(&bytes[..blank]).ok()?).ok()?;
    let (record, rest) = bytes.split_at_checked(length)?;
    let record = record.get(blank + 1..)?.strip_suffix(b"\n")?;
    let equals = record.iter().position(|&byte| byte == b'=')?;
    let (key, value) = (&record[..equals], &record[equals + 1..]);
    (!key.is_empty()).then_some((key, value, rest))
}

/// Parses decimal digits and nothing else.
pub(super) fn decimal(text: &[u8]) -> io::Result<u64> {
    let digits = text.iter().all(u8::is_ascii_digit);
    let number = std::str::from_utf8(text).ok().filter(|_| digits);
    number
        .and_then(|text| text.parse().ok())
        .ok_or_else(|| malformed("malformed number in a PAX record"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_may_hold_anything() {
        let bytes = b"6 a=b\n19 key=\n9 b=c=\n\0 \xff\n5 c=\n";
        let records: Vec<_> = records(bytes).map(Result::unwrap).collect();
        let expected: [(&[u8], &[u8]); 3] =
            [(b"a", b"b"), (b"key", b"\n9 b=c=\n\0 \xff"), (b"c", b"")];
        assert_eq!(records, expected);
    }

    #[test]
    fn malformed_records_are_an_error() {
        for bad in [
            &b"6 a=b"[..],
            b"7 a=b\n",
            b"5 a=b\n",
            b"6 a.b\n",
            b"5 =b\n",
            b"+6 a=b\n",
            b" 6 a=b\n",
            b"1 ",
            b"2 \n",
            b"99999999999999999999 a=b\n",
            b"6 a=b\n\0",
        ] {
            assert!(records(bad).any(|record| record.is_err()), "{bad:?}");
        }
    }
}
