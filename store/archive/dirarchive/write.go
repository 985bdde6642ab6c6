package dirarchive

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"time"

	"github.com/milepost-dev/milepost/store/archive"
)

// temp is a file that is written and has no key yet. It is locked while it is open, which tells it
// from a file that a crash has left.
type temp struct {
	archive *Archive
	file    *os.File
	name    string
	size    int64
	sum     hash.Hash
}

// writeTemp writes what body yields into a file. The content is durable then; the name is not.
func (a *Archive) writeTemp(ctx context.Context, body io.Reader) (*temp, error) {
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	t := &temp{archive: a, name: path.Join(tempDir, rand.Text()), sum: sha256.New()}
	var err error
	if t.file, err = a.createTemp(t.name); err != nil {
		return nil, err
	}
	if err := t.write(ctx, body); err != nil {
		t.remove()
		return nil, err
	}
	return t, nil
}

func (t *temp) write(ctx context.Context, body io.Reader) (err error) {
	if locked, err := tryLock(t.file); err != nil || !locked {
		return errors.Join(errors.New("lock a new file"), err)
	}
	if t.size, err = io.Copy(io.MultiWriter(t.file, t.sum), archive.Source(ctx, body)); err != nil {
		return err
	}
	return t.file.Sync()
}

func (a *Archive) createTemp(name string) (*os.File, error) {
	file, err := a.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o666)
	if errors.Is(err, fs.ErrNotExist) {
		if err := a.root.MkdirAll(tempDir, 0o777); err != nil {
			return nil, err
		}
		file, err = a.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o666)
	}
	return file, err
}

func (t *temp) object(key string) archive.Object {
	object := archive.Object{Key: key, Size: t.size, ModifiedAt: time.Now()}
	if info, err := t.file.Stat(); err == nil {
		object.ModifiedAt = info.ModTime()
	}
	if t.size <= archive.MaxReplace {
		object.ETag = hex.EncodeToString(t.sum.Sum(nil))
	}
	return object
}

// remove closes the file and removes its first name. A rename has done that already.
func (t *temp) remove() {
	_ = t.file.Close()
	_ = t.archive.root.Remove(t.name)
}

// place gives a file its key, by give, which is a link or a rename, and makes that durable.
func (a *Archive) place(t *temp, key string, give func(old, new string) error) error {
	file := path.Join(filePath(key)...)
	dir := path.Dir(file)
	if runtime.GOOS == "windows" { // it does not rename open files
		_ = t.file.Close()
	}
	const tries = 100 // a Delete may remove the empty directory, and again
	var err error
	for range tries {
		if err = a.root.MkdirAll(dir, 0o777); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		if err = give(t.name, file); !errors.Is(err, fs.ErrNotExist) {
			break
		}
	}
	if err != nil {
		return err
	}
	// All directories above as well: the process that made one may not have synced it yet.
	for ; ; dir = path.Dir(dir) {
		if err := a.syncDir(dir); err != nil {
			return fmt.Errorf("%w: the object may not survive a crash of the machine: %w", archive.ErrWriteUnknown, err)
		}
		if dir == "." {
			return nil
		}
	}
}

func (a *Archive) syncDir(dir string) error {
	if runtime.GOOS == "windows" { // it cannot sync a directory
		return nil
	}
	file, err := a.root.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(syncFile(file), file.Close())
}

// syncFile makes a directory's names durable. A test looks on.
var syncFile = (*os.File).Sync

// makeRoot makes dir, and makes the names of dir and of the directories that it makes above dir
// durable: a power cut must not take the whole archive away. The directory above dir is synced even
// if dir is there: the process that made dir may not have synced it yet.
func makeRoot(dir string) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return err
	}
	above := []string{filepath.Dir(dir)}
	for { // the directories that are made, and the one in which the first is made
		last := above[len(above)-1]
		if _, err := os.Stat(last); !errors.Is(err, fs.ErrNotExist) || filepath.Dir(last) == last {
			break
		}
		above = append(above, filepath.Dir(last))
	}
	if err := os.MkdirAll(dir, 0o777); err != nil || runtime.GOOS == "windows" {
		return err
	}
	for _, name := range above {
		file, err := os.Open(name)
		if errors.Is(err, fs.ErrPermission) { // the caller may enter the directory, and not read it
			continue
		}
		if err != nil {
			return err
		}
		if err := errors.Join(syncFile(file), file.Close()); err != nil {
			return fmt.Errorf("sync the directory above the archive: %w", err)
		}
	}
	return nil
}

// lock takes the archive's lock, which one Replace or Delete of all processes holds at a time. It
// waits until ctx ends.
func (a *Archive) lock(ctx context.Context) (unlock func(), err error) {
	file, err := a.root.OpenFile(lockFile, os.O_CREATE|os.O_RDWR, 0o666)
	if err != nil {
		return nil, err
	}
	wait := time.Millisecond
	for {
		locked, err := tryLock(file)
		if locked {
			return func() { _ = file.Close() }, nil
		}
		if err != nil {
			return nil, errors.Join(fmt.Errorf("lock the archive: %w", err), file.Close())
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, errors.Join(context.Cause(ctx), file.Close())
		}
		wait = min(2*wait, 50*time.Millisecond)
	}
}

// sweep removes the files that crashed writers have left: those that are old and not locked.
func (a *Archive) sweep() error {
	const old = time.Hour // a file that was just made may not be locked yet
	dir, err := a.root.Open(tempDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || time.Since(info.ModTime()) < old {
			continue
		}
		name := path.Join(tempDir, entry.Name())
		file, err := a.root.OpenFile(name, os.O_RDWR, 0)
		if err != nil {
			continue // another process has removed it, or it is not ours
		}
		if locked, _ := tryLock(file); locked {
			_ = a.root.Remove(name)
		}
		_ = file.Close()
	}
	return nil
}
