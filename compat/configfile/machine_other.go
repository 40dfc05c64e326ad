//go:build !linux

package configfile

import "os"

// syncData makes overwritten bytes durable.
func syncData(f *os.File) error { return f.Sync() }
