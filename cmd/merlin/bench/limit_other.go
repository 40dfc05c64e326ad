//go:build !linux

package bench

import "errors"

// mapLog works on Linux alone.
func mapLog(string, int) ([]byte, func(), error) {
	return nil, nil, errors.New("a log on the disk (-dir) needs Linux")
}
