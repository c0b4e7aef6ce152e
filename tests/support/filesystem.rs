//! A small ext4 of the test's own, on a loop device, and a disk that loses what wasn't flushed. They need root, loop devices and e2fsprogs.
//!
//! Where that isn't had the test says so on standard error and passes, unless BOUNCED_REQUIRE_MOUNTS=1 forbids that.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::await_some;

/// Mounted; unmounted when dropped.
pub struct Mounted {
    image: PathBuf,
    at: PathBuf,
}

impl Mounted {
    /// Makes the image, so many MiB long, and mounts it.
    pub fn new(image: &Path, at: &Path, mebibytes: u64) -> Option<Mounted> {
        let made = fs::File::create(image).and_then(|file| file.set_len(mebibytes << 20)).map_err(|error| error.to_string());
        // No blocks set aside for root, a small journal.
        let made = made.and_then(|()| run(Command::new("mkfs.ext4").args(["-q", "-F", "-m", "0", "-J", "size=4"]).arg(image)));
        made.and_then(|()| Mounted::try_mount(image, at)).map_err(|why| left_out(&why)).ok()
    }

    /// The journal is written when somebody asks for it, not by the clock.
    fn try_mount(image: &Path, at: &Path) -> Result<Mounted, String> {
        fs::create_dir_all(at).map_err(|error| error.to_string())?;
        run(Command::new("mount").args(["-t", "ext4", "-o", "loop,commit=300"]).arg(image).arg(at))?;
        Ok(Mounted { image: image.to_owned(), at: at.to_owned() })
    }

    /// Copies the image as it is below the page cache of the mounted filesystem. Nobody may write there, and where the kernel does by itself
    /// meanwhile, it is copied anew.
    fn copy_image(&self, to: &Path) {
        let attached = Command::new("losetup").args(["-n", "-O", "NAME", "-j"]).arg(&self.image).output().unwrap();
        let device = String::from_utf8(attached.stdout).unwrap().trim().replace("/dev/", "");
        let statistics = PathBuf::from(format!("/sys/block/{device}/stat"));
        // Writes that are done and what is under way (Documentation/block/stat.rst).
        let busy = || {
            let text = fs::read_to_string(&statistics).unwrap();
            let fields: Vec<u64> = text.split_whitespace().map(|field| field.parse().unwrap()).collect();
            (fields[4], fields[8])
        };
        await_some("a moment without writes to the image", || {
            let before = busy();
            if before.1 > 0 {
                return None;
            }
            fs::copy(&self.image, to).unwrap();
            (busy() == before).then_some(())
        });
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        // Lazily: after a failed test somebody may still be in it.
        if let Err(why) = run(Command::new("umount").arg("-l").arg(&self.at)) {
            eprintln!("{why}");
        }
    }
}

/// A filesystem whose disk forgets what it wasn't told to flush when the power fails.
///
/// Its image lies on a second filesystem of its own. What is written to the image stays in the page cache of that one, which plays the cache
/// within a disk; a flush of the disk (fdatasync, the journal's barriers) syncs the image there.
pub struct Disk {
    _data: Mounted,
    outer: Mounted,
}

impl Disk {
    /// Files of its own lie under `dir`; the filesystem, so many MiB, is mounted at `data`.
    pub fn new(dir: &Path, data: &Path, mebibytes: u64) -> Option<Disk> {
        let outer = Mounted::new(&dir.join("outer"), &dir.join("disk"), mebibytes + mebibytes / 4)?;
        Some(Disk { _data: Mounted::new(&dir.join("disk/image"), data, mebibytes)?, outer })
    }

    /// The power fails now; whoever writes must be stopped. What is left is mounted at `data`, with files of its own under `dir`.
    pub fn after_power_loss(&self, dir: &Path, data: &Path) -> Disk {
        fs::create_dir_all(dir).unwrap();
        self.outer.copy_image(&dir.join("outer"));
        let mount = |image: &Path, at: &Path| Mounted::try_mount(image, at).unwrap_or_else(|why| panic!("{why}"));
        let outer = mount(&dir.join("outer"), &dir.join("disk"));
        Disk { _data: mount(&dir.join("disk/image"), data), outer }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    match command.stdin(Stdio::null()).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim())),
        Err(error) => Err(format!("{command:?}: {error}")),
    }
}

fn left_out(why: &str) {
    assert!(env::var("BOUNCED_REQUIRE_MOUNTS").as_deref() != Ok("1"), "BOUNCED_REQUIRE_MOUNTS=1 and this test can't run: {why}");
    // Past the capture of a passing test's output.
    let _ = writeln!(io::stderr(), "LEFT OUT: a test on a filesystem of its own: {why}");
}
