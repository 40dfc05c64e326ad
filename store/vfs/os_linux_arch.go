//go:build linux

package vfs

import "runtime"

const isARM64 = runtime.GOARCH == "arm64" || runtime.GOARCH == "riscv64" || runtime.GOARCH == "loong64"
