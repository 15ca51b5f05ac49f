//! From a device to its EBS volumes, in a tree of files that looks like sysfs, and
//! through `/sys` itself for loop devices.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use stillpoint_agent::mountinfo::Dev;
use stillpoint_agent::volumes::{Below, below};

struct Sysfs(PathBuf);

impl Sysfs {
    fn new(name: &str) -> Self {
        let root =
            std::env::temp_dir().join(format!("stillpoint-sysfs-{}-{name}", std::process::id()));
        fs::create_dir_all(root.join("dev/block")).unwrap();
        Self(root)
    }

    /// A device folder below `parent`, linked by its number as the kernel does it.
    fn device(&self, path: &str, number: &str) -> PathBuf {
        let folder = self.0.join("devices").join(path);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("dev"), format!("{number}\n")).unwrap();
        symlink(&folder, self.0.join("dev/block").join(number)).unwrap();
        folder
    }

    fn ebs(&self, path: &str, number: &str, serial: &str) -> PathBuf {
        let folder = self.device(path, number);
        fs::create_dir(folder.join("device")).unwrap();
        fs::write(folder.join("device/serial"), format!("{serial}  \n")).unwrap();
        fs::write(folder.join("device/model"), "Amazon Elastic Block Store              \n")
            .unwrap();
        folder
    }

    fn slave(&self, of: &Path, slave: &Path) {
        fs::create_dir_all(of.join("slaves")).unwrap();
        symlink(slave, of.join("slaves").join(slave.file_name().unwrap())).unwrap();
    }

    fn below(&self, number: &str) -> Below {
        below(&self.0, Dev::parse(number).unwrap(), "ext4", Path::new("/dev/none"))
    }

    fn volumes(&self, number: &str) -> Vec<String> {
        self.below(number).volumes.into_iter().collect()
    }
}

impl Drop for Sysfs {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn a_disk_and_its_partition() {
    let sysfs = Sysfs::new("disk");
    sysfs.ebs("nvme1n1", "259:1", "vol0123456789abcdef0");
    let part = sysfs.device("nvme1n1/nvme1n1p1", "259:2");
    fs::write(part.join("partition"), "1\n").unwrap();
    assert_eq!(sysfs.volumes("259:1"), ["vol-0123456789abcdef0"]);
    assert_eq!(sysfs.volumes("259:2"), ["vol-0123456789abcdef0"]);
}

#[test]
fn a_stack_of_encryption_lvm_and_raid_over_two_disks() {
    let sysfs = Sysfs::new("stack");
    let one = sysfs.ebs("nvme1n1", "259:1", "vol0000000000000000a");
    let two = sysfs.ebs("nvme2n1", "259:2", "vol-0000000000000000b");
    let raid = sysfs.device("md0", "9:0");
    sysfs.slave(&raid, &one);
    sysfs.slave(&raid, &two);
    let lvm = sysfs.device("dm-0", "253:0");
    sysfs.slave(&lvm, &raid);
    let crypt = sysfs.device("dm-1", "253:1");
    sysfs.slave(&crypt, &lvm);
    assert_eq!(sysfs.volumes("253:1"), ["vol-0000000000000000a", "vol-0000000000000000b"]);
}

#[test]
fn a_circle_ends_and_what_is_not_ebs_is_not_a_volume() {
    let sysfs = Sysfs::new("circle");
    let (one, two) = (sysfs.device("dm-0", "253:0"), sysfs.device("dm-1", "253:1"));
    sysfs.slave(&one, &two);
    sysfs.slave(&two, &one);
    assert!(sysfs.volumes("253:0").is_empty());
    let store = sysfs.ebs("nvme3n1", "259:3", "AWS1234");
    fs::write(store.join("device/model"), "Amazon EC2 NVMe Instance Storage\n").unwrap();
    let found = sysfs.below("259:3");
    assert!(found.instance_store && found.volumes.is_empty());
    let odd = sysfs.ebs("nvme4n1", "259:4", "volume-of-something");
    assert!(sysfs.volumes("259:4").is_empty());
    fs::remove_file(odd.join("device/serial")).unwrap();
    assert!(sysfs.volumes("259:4").is_empty());
    assert!(sysfs.volumes("1:1").is_empty(), "a device that is not there");
}

#[test]
fn a_loop_device_names_its_file() {
    let sysfs = Sysfs::new("loop");
    let device = sysfs.device("loop0", "7:0");
    fs::create_dir(device.join("loop")).unwrap();
    fs::write(device.join("loop/backing_file"), "/data/a file.img\n").unwrap();
    assert!(sysfs.below("7:0").files.contains(Path::new("/data/a file.img")));
}
