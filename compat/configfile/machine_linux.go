package configfile

import (
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// patchSynced implements disk. It calls the system itself: an os.File asks the
// poller to watch it first, which is half of the calls of a small write. The times of
// the file are not made durable, which spares the file system's journal a write.
func (machine) patchSynced(path string, size int64, pieces []Piece) error {
	return patch(path, size, pieces, true)
}

// patchLater implements laterDisk.
func (machine) patchLater(path string, size int64, pieces []Piece) error {
	return patch(path, size, pieces, false)
}

func patch(path string, size int64, pieces []Piece, sync bool) error {
	fail := func(op string, err error) error { return &os.PathError{Op: op, Path: path, Err: err} }
	var fd int
	err := again(func() (err error) {
		fd, err = unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return fail("open", err)
	}
	var st unix.Stat_t
	op := "stat"
	if err = again(func() error { return unix.Fstat(fd, &st) }); err == nil && st.Size != size {
		err = wrongSize(st.Size, size)
	}
	for _, p := range pieces {
		for op = "write"; err == nil && len(p.Data) > 0; {
			var n int
			err = again(func() (err error) {
				n, err = unix.Pwrite(fd, p.Data, p.Off)
				return err
			})
			if n <= 0 && err == nil {
				err = io.ErrShortWrite
			}
			if err == nil {
				p.Data, p.Off = p.Data[n:], p.Off+int64(n)
			}
		}
	}
	if err == nil && sync {
		op = "fdatasync"
		err = again(func() error { return unix.Fdatasync(fd) })
	}
	if cerr := unix.Close(fd); err == nil {
		op, err = "close", cerr
	}
	if err != nil {
		return fail(op, err)
	}
	return nil
}

// again calls f until no signal has interrupted it.
func again(f func() error) error {
	for {
		if err := f(); err != unix.EINTR {
			return err
		}
	}
}
