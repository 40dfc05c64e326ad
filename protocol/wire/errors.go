package wire

import (
	"errors"
	"fmt"
)

// ErrFrame is wrapped by every error of Decode. The peer cannot be understood any
// further: Java closes the connection, and so should the caller.
var ErrFrame = errors.New("wire: bad frame")

func frameError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrFrame, fmt.Sprintf(format, args...))
}
