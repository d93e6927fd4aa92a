//! Kernels: what a file is, whether it can mount an ext4 root disk, the catalog, and the one way by
//! which every command finds the kernel it was asked for.

mod catalog;
mod extent;
mod facts;
mod format;
mod initrd;
mod modules;
mod preflight;
mod problems;
mod resolve;
mod scan;

pub use catalog::{CATALOG_SCHEMA_VERSION, Catalog, CatalogListing, KernelEntry, KernelRecord};
pub(crate) use catalog::{INITRD_FILE, KERNEL_FILE, KernelOrigins};
pub use facts::{Architecture, Compression, DriverState, Drivers, KernelFacts, KernelFormat};
pub use format::inspect;
pub(crate) use modules::ModuleDirectory;
pub use preflight::{Disk, disk_state, usable_disks};
pub use problems::Problems;
pub use resolve::{KernelRequest, ResolvedKernel, resolve};
