//! Runs the object store's futures on a thread of its own, so that callers may be any thread.
//!
//! Invariant: nothing here is called from within the I/O thread itself, so waiting cannot lock up.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;
use futures::StreamExt as _;
use object_store::path::Path as ObjectPath;
use object_store::{Error, MultipartUpload, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};
use parking_lot::Mutex;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use crate::error::StorageError;
use crate::object::open::OpenedStore;

/// Bytes of one part of a streamed object; S3 wants at least 5 MiB.
const PART_BYTES: usize = 8 << 20;

/// A synchronous door to one object store.
#[derive(Debug)]
pub(crate) struct ObjectIo {
    opened: OpenedStore,
    handle: Handle,
    stop: Mutex<Option<(oneshot::Sender<()>, JoinHandle<()>)>>,
    /// Streams that are being written fail.
    is_interrupted: AtomicBool,
}

fn failed(action: &'static str, path: &ObjectPath, error: &Error) -> StorageError {
    StorageError::Store { action, path: path.to_string(), reason: error.to_string() }
}

impl ObjectIo {
    /// Starts the I/O thread over `opened`.
    pub(crate) fn start(opened: OpenedStore) -> Result<Self, StorageError> {
        let refused = |error: std::io::Error| StorageError::Store {
            action: "start I/O for",
            path: String::new(),
            reason: error.to_string(),
        };
        let runtime = Builder::new_current_thread().enable_all().build().map_err(refused)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("object-io".into())
            .spawn(move || {
                // Ends when the sender is used or dropped.
                let _ = runtime.block_on(stopped);
            })
            .map_err(refused)?;
        let (stop, is_interrupted) = (Mutex::new(Some((stop, thread))), AtomicBool::new(false));
        Ok(Self { opened, handle, stop, is_interrupted })
    }

    fn wait<T: Send + 'static>(
        &self,
        action: &'static str,
        future: impl Future<Output = T> + Send + 'static,
    ) -> Result<T, StorageError> {
        if self.opened.is_immediate {
            return Ok(self.handle.block_on(future));
        }
        let (sender, receiver) = mpsc::sync_channel(1);
        self.handle.spawn(async move {
            let _ = sender.send(future.await);
        });
        receiver.recv().map_err(|_| StorageError::Closed { action })
    }

    /// The file of an object, where objects are files.
    pub(crate) fn local_file(&self, path: &ObjectPath) -> Option<PathBuf> {
        let root = self.opened.local_root.as_ref()?;
        Some(path.as_ref().split('/').fold(root.clone(), |file, part| file.join(part)))
    }

    /// True where objects are files.
    pub(crate) fn is_local(&self) -> bool {
        self.opened.local_root.is_some()
    }

    /// The whole object; `None` when there is none.
    pub(crate) fn get(&self, path: &ObjectPath) -> Result<Option<Bytes>, StorageError> {
        let (store, at) = (self.opened.store.clone(), path.clone());
        let result = self.wait("read", async move { store.get(&at).await?.bytes().await })?;
        match result {
            Ok(bytes) => Ok(Some(bytes)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("read", path, &error)),
        }
    }

    /// The object's length in bytes; `None` when there is none.
    pub(crate) fn length(&self, path: &ObjectPath) -> Result<Option<u64>, StorageError> {
        let (store, at) = (self.opened.store.clone(), path.clone());
        match self.wait("look at", async move { store.head(&at).await })? {
            Ok(meta) => Ok(Some(meta.size)),
            Err(Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failed("look at", path, &error)),
        }
    }

    /// Bytes `start..end` of an object.
    pub(crate) fn get_range(
        &self,
        path: &ObjectPath,
        start: u64,
        end: u64,
    ) -> Result<Bytes, StorageError> {
        let (store, at) = (self.opened.store.clone(), path.clone());
        self.wait("read", async move { store.get_range(&at, start..end).await })?
            .map_err(|error| failed("read", path, &error))
    }

    /// Creates an object; false when there is one of that name already.
    pub(crate) fn create(&self, path: &ObjectPath, bytes: Bytes) -> Result<bool, StorageError> {
        let (store, at) = (self.opened.store.clone(), path.clone());
        let options = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
        let result = self.wait("create", async move {
            store.put_opts(&at, PutPayload::from_bytes(bytes), options).await
        })?;
        match result {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(failed("create", path, &error)),
        }
    }

    /// All objects below `prefix`, with their lengths, in no order.
    pub(crate) fn list(&self, prefix: &ObjectPath) -> Result<Vec<(ObjectPath, u64)>, StorageError> {
        let (store, at) = (self.opened.store.clone(), prefix.clone());
        let listed = self.wait("list", async move {
            let mut found = Vec::new();
            let mut stream = store.list(Some(&at));
            while let Some(meta) = stream.next().await {
                let meta = meta?;
                found.push((meta.location, meta.size));
            }
            Ok(found)
        })?;
        listed.map_err(|error: Error| failed("list", prefix, &error))
    }

    /// Deletes an object; that there is none is fine.
    pub(crate) fn delete(&self, path: &ObjectPath) -> Result<(), StorageError> {
        let (store, at) = (self.opened.store.clone(), path.clone());
        match self.wait("delete", async move { store.delete(&at).await })? {
            Ok(()) | Err(Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(failed("delete", path, &error)),
        }
    }

    /// Begins to write an object in a stream; it appears when it is finished.
    pub(crate) fn upload(&self, path: &ObjectPath) -> Result<Upload<'_>, StorageError> {
        let (store, at) = (self.opened.store.clone(), path.clone());
        let upload = self
            .wait("create", async move { store.put_multipart(&at).await })?
            .map_err(|error| failed("create", path, &error))?;
        let buffer = Vec::new();
        Ok(Upload { io: self, path: path.clone(), upload: Some(upload), buffer, length: 0 })
    }

    /// Makes every stream fail that is being written or begun, until the next call says otherwise:
    /// whoever is in the middle of a large object and may as well repeat it later stops soon.
    pub(crate) fn interrupt(&self, is_interrupted: bool) {
        self.is_interrupted.store(is_interrupted, Ordering::Relaxed);
    }

    /// Stops the I/O thread; later calls fail.
    pub(crate) fn stop(&self) {
        if let Some((stop, thread)) = self.stop.lock().take() {
            drop(stop);
            let _ = thread.join();
        }
    }
}

impl Drop for ObjectIo {
    fn drop(&mut self) {
        self.stop();
    }
}

/// An object that is being written. Dropped unfinished, it never appears.
#[derive(Debug)]
pub(crate) struct Upload<'a> {
    io: &'a ObjectIo,
    path: ObjectPath,
    upload: Option<Box<dyn MultipartUpload>>,
    buffer: Vec<u8>,
    length: u64,
}

impl Upload<'_> {
    /// Bytes written so far.
    pub(crate) fn length(&self) -> u64 {
        self.length
    }

    /// Appends bytes.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> Result<(), StorageError> {
        if self.io.is_interrupted.load(Ordering::Relaxed) {
            return Err(StorageError::Closed { action: "write an object" });
        }
        self.length += bytes.len() as u64;
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= PART_BYTES { self.send() } else { Ok(()) }
    }

    fn send(&mut self) -> Result<(), StorageError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let Some(upload) = &mut self.upload else {
            return Err(StorageError::Closed { action: "write an object" });
        };
        let part = upload.put_part(PutPayload::from(std::mem::take(&mut self.buffer)));
        self.io.wait("write", part)?.map_err(|error| failed("write", &self.path, &error))
    }

    /// Completes the object.
    pub(crate) fn finish(mut self) -> Result<(), StorageError> {
        self.send()?;
        let Some(mut upload) = self.upload.take() else {
            return Err(StorageError::Closed { action: "write an object" });
        };
        let complete = async move { upload.complete().await };
        self.io
            .wait("complete", complete)?
            .map(|_| ())
            .map_err(|error| failed("complete", &self.path, &error))
    }
}

impl Drop for Upload<'_> {
    fn drop(&mut self) {
        if let Some(mut upload) = self.upload.take() {
            // What remains of a failed write is the sweep's; here it is only tried.
            let _ = self.io.wait("abort", async move { upload.abort().await });
            // Where objects are files this one was the first of its directory, or others keep that.
            if let Some(dir) = self.io.local_file(&self.path).as_deref().and_then(Path::parent) {
                let _ = std::fs::remove_dir(dir);
            }
        }
    }
}
