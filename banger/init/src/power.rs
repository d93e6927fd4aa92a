//! The power button, which a virtual machine's monitor presses to ask for the end.

#![expect(
    clippy::host_endian_bytes,
    reason = "events have the byte order of the machine"
)]

use std::fs::{self, File};
use std::io::Read;
use std::path::PathBuf;

/// Bytes of a `struct input_event` of a 64-bit kernel: two of time, type, code, value
/// (include/uapi/linux/input.h).
const EVENT_BYTES: usize = 24;
const EV_KEY: u16 = 1;
const KEY_POWER: u16 = 116;

/// Has `act` called when a power button is pressed, on threads of its own.
pub(crate) fn watch(act: impl Fn() + Clone + Send + 'static) {
    for device in buttons() {
        let act = act.clone();
        std::thread::spawn(move || {
            let Ok(mut file) = File::open(device) else {
                return;
            };
            let mut event = [0; EVENT_BYTES];
            while file.read_exact(&mut event).is_ok() {
                if is_pressed(&event) {
                    act();
                }
            }
        });
    }
}

fn buttons() -> Vec<PathBuf> {
    let entries = fs::read_dir("/sys/class/input")
        .into_iter()
        .flatten()
        .flatten();
    entries
        .filter(|entry| {
            let name = fs::read_to_string(entry.path().join("device/name")).unwrap_or_default();
            name.trim() == "Power Button"
        })
        .map(|entry| PathBuf::from("/dev/input").join(entry.file_name()))
        .collect()
}

fn is_pressed(event: &[u8; EVENT_BYTES]) -> bool {
    let half = |at: usize| u16::from_ne_bytes([event[at], event[at + 1]]);
    let value = i32::from_ne_bytes([event[20], event[21], event[22], event[23]]);
    (half(16), half(18), value) == (EV_KEY, KEY_POWER, 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_pressed_power_key_counts() {
        let event = |kind: u16, code: u16, value: i32| {
            let mut event = [0; EVENT_BYTES];
            event[16..18].copy_from_slice(&kind.to_ne_bytes());
            event[18..20].copy_from_slice(&code.to_ne_bytes());
            event[20..24].copy_from_slice(&value.to_ne_bytes());
            is_pressed(&event)
        };
        assert!(event(1, 116, 1));
        assert!(!event(1, 116, 0) && !event(1, 30, 1) && !event(0, 116, 1));
    }
}
