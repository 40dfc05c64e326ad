//go:build !linux

package servers

import "os/exec"

// dieWithParent does nothing here: only Linux ties a child to its parent.
func dieWithParent(*exec.Cmd) {}
