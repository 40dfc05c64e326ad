package bench

import (
	"os"
	"path/filepath"
	"syscall"
)

// mapLog makes a file of size bytes, allocated and mapped. Its pages are not
// touched. flush waits until what was written is on the disk. The mapping lives
// as long as the process.
func mapLog(dir string, size int) (log []byte, flush func(), err error) {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, nil, err
	}
	f, err := os.Create(filepath.Join(dir, "limit.log"))
	if err != nil {
		return nil, nil, err
	}
	if err := syscall.Fallocate(int(f.Fd()), 0, 0, int64(size)); err != nil {
		return nil, nil, err
	}
	log, err = syscall.Mmap(int(f.Fd()), 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	return log, func() {
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			panic(err) // an answer would be a lie, and this program is an instrument
		}
	}, err
}
