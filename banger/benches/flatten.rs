//! The whole way against its floor: flattening an image, beside inflating its layers to nowhere with the
//! same decoder, in the same run and in turns. The ratio is what holds on a noisy machine.
//!
//! usage: cargo bench -p banger --bench flatten -- [OCI-LAYOUT] (default: ../shared/images/debian-min)

#![expect(clippy::print_stdout, reason = "figures are what a bench is for")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use banger::flatten::{Options, open_and_flatten};
use banger::output::OutputFile;
use banger::source::{SourceOptions, open};
use banger::watch::Watch;
use oci_flatten::decode::decode;
use oci_flatten::flatten::CancellationToken;
use oci_flatten::progress::{Observer, Silent};
use oci_flatten::source::SourceName;
use tokio::io::AsyncReadExt;
use tokio::runtime::Runtime;

const ROUNDS: usize = 7;

fn main() {
    let layout = std::env::args()
        .skip(1)
        .find(|argument| !argument.starts_with('-'))
        .map_or_else(default_layout, PathBuf::from);
    if !layout.join("index.json").is_file() {
        println!(
            "no OCI layout at {}: give one as the argument",
            layout.display()
        );
        return;
    }
    let name = SourceName::parse(&format!("oci:{}", layout.display())).expect("a source name");
    let runtime = Runtime::new().expect("a runtime");
    let (mut floors, mut times, mut bytes) = (Vec::new(), Vec::new(), 0);
    for _ in 0..ROUNDS {
        let started = Instant::now();
        bytes = runtime.block_on(inflate(&name));
        floors.push(started.elapsed());
        let folder = tempfile::tempdir().expect("a folder");
        let output = folder.path().join("rootfs.ext4");
        let started = Instant::now();
        runtime.block_on(flatten_once(&name, &output));
        times.push(started.elapsed());
    }
    let (floor, time) = (median(floors), median(times));
    let rate = |time: Duration| bytes as f64 / 1e6 / time.as_secs_f64();
    println!(
        "{}: {bytes} bytes of layers, median of {ROUNDS}",
        layout.display()
    );
    println!(
        "inflate  {:.3} s  {:.0} MB/s",
        floor.as_secs_f64(),
        rate(floor)
    );
    println!(
        "flatten  {:.3} s  {:.0} MB/s",
        time.as_secs_f64(),
        rate(time)
    );
    println!("ratio    {:.2}", time.as_secs_f64() / floor.as_secs_f64());
}

fn default_layout() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/images/debian-min")
}

/// Decodes all layers and throws the bytes away; returns how many there were.
async fn inflate(name: &SourceName) -> u64 {
    let silent: Arc<dyn Observer> = Arc::new(Silent);
    let source = open(
        name,
        &SourceOptions::default(),
        &silent,
        &CancellationToken::new(),
    )
    .await
    .expect("the image opens");
    let mut buffer = vec![0; 256 * 1024];
    let mut bytes = 0;
    for layer in 0..source.image().layers.len() {
        let blob = source.open_layer(layer).await.expect("the layer opens");
        let mut tar = decode(blob, u64::MAX)
            .await
            .expect("the layer decodes")
            .stream;
        loop {
            match tar.read(&mut buffer).await.expect("the layer decodes") {
                0 => break,
                count => bytes += count as u64,
            }
        }
    }
    bytes
}

async fn flatten_once(name: &SourceName, output: &Path) {
    let output = OutputFile::create(output, false).expect("a file");
    let file = output.handle().expect("a handle");
    let watch = Watch::silent(CancellationToken::new());
    let sources = SourceOptions::default();
    open_and_flatten(name, &sources, &file, &Options::default(), &watch)
        .await
        .expect("it flattens");
    output.publish(false, &()).expect("it is published");
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times[times.len() / 2]
}
