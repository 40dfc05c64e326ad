package vfs

import (
	"os"
	"syscall"
	"unsafe"
)

const mapPage = 4096 // smaller than the machine's at worst, which asks more than once

type mapping []byte

// Map implements Mapper.
func (f osFile) Map(size int64) (Mapping, error) {
	if os.Getpagesize() != mapPage {
		return nil, syscall.ENOTSUP
	}
	var m mapping
	err := control(f.f, func(fd int) (err error) {
		m, err = syscall.Mmap(fd, 0, int(size), syscall.PROT_READ, syscall.MAP_SHARED)
		return err
	})
	if err != nil {
		return nil, err
	}
	return m, nil
}

func (m mapping) Close() error { return syscall.Munmap(m) }

func (m mapping) ReadAt(p []byte, off int64) error {
	if off < 0 || off > int64(len(m)) || int64(len(p)) > int64(len(m))-off {
		return ErrFault
	}
	return copyMapped(p, m[off:off+int64(len(p))])
}

func (m mapping) Resident(from, to int64) bool {
	if from < 0 || to <= from || to > int64(len(m)) {
		return false
	}
	from -= from % mapPage
	n := (to - from + mapPage - 1) / mapPage
	if n > MaxResident/mapPage {
		return false
	}
	var in [MaxResident / mapPage]byte
	if _, _, e := syscall.RawSyscall(syscall.SYS_MINCORE, uintptr(unsafe.Pointer(&m[from])), uintptr(to-from), uintptr(unsafe.Pointer(&in[0]))); e != 0 {
		return false
	}
	for _, b := range in[:n] {
		if b&1 == 0 {
			return false
		}
	}
	return true
}
