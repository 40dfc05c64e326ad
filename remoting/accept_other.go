//go:build !linux

package remoting

import "syscall"

// accept takes one connection that is not inherited by child processes.
func accept(fd int) (int, syscall.Sockaddr, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	nfd, sa, err := syscall.Accept(fd)
	if err == nil {
		syscall.CloseOnExec(nfd)
		err = syscall.SetNonblock(nfd, true)
	}
	return nfd, sa, err
}
