package javastr

import (
	"math"
	"strconv"
)

// AppendDouble appends the text of Java's Double.toString(v): plain decimals with
// at least one digit after the point from 1e-3 up to 1e7, otherwise one digit, the
// point, digits, E and the exponent. The digits are the shortest that read back
// as v, as in JDK 19 and later; older JDKs print a digit more for a few values.
func AppendDouble(dst []byte, v float64) []byte {
	switch {
	case math.IsNaN(v):
		return append(dst, "NaN"...)
	case math.IsInf(v, 1):
		return append(dst, "Infinity"...)
	case math.IsInf(v, -1):
		return append(dst, "-Infinity"...)
	}
	abs := math.Abs(v)
	if abs == 0 || (abs >= 1e-3 && abs < 1e7) {
		start := len(dst)
		dst = strconv.AppendFloat(dst, v, 'f', -1, 64)
		return ensureFraction(dst, start)
	}
	start := len(dst)
	dst = strconv.AppendFloat(dst, v, 'e', -1, 64) // d.ddde±xx
	e := len(dst) - 1
	for dst[e] != 'e' {
		e--
	}
	exp, err := strconv.Atoi(string(dst[e+1:]))
	if err != nil {
		return dst // cannot happen: AppendFloat wrote a number after the e
	}
	dst = ensureFraction(dst[:e], start)
	dst = append(dst, 'E')
	return strconv.AppendInt(dst, int64(exp), 10)
}

// ensureFraction appends ".0" when the number that starts at start has no point.
func ensureFraction(dst []byte, start int) []byte {
	for _, c := range dst[start:] {
		if c == '.' {
			return dst
		}
	}
	return append(dst, '.', '0')
}
