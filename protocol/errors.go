package protocol

import (
	"errors"
	"fmt"
)

// Error is what a peer sees of a failed request: the code and the remark of the
// answer. A handler returns it, and a client makes it from an answer.
type Error struct {
	Code   ResponseCode
	Remark string
}

// Error gives the name of the code and the remark.
func (e *Error) Error() string {
	if e.Remark == "" {
		return e.Code.String()
	}
	return e.Code.String() + ": " + e.Remark
}

// Is makes errors.Is(err, &Error{Code: c}) true for any error of that code.
func (e *Error) Is(target error) bool {
	t, ok := target.(*Error)
	return ok && t.Code == e.Code && (t.Remark == "" || t.Remark == e.Remark)
}

// Errorf makes an Error with a formatted remark.
func Errorf(code ResponseCode, format string, args ...any) *Error {
	return &Error{Code: code, Remark: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the Error that err is or wraps: Success for nil,
// SystemError for any other error.
func CodeOf(err error) ResponseCode {
	if err == nil {
		return Success
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Code
	}
	return SystemError
}

// FAQ stands at the end of some remarks (FAQUrl): clients print it.
const FAQ = "\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
