package http1

// set of bytes.
type set [256]bool

func setOf(ranges ...string) (s set) {
	for _, r := range ranges { // of two characters each, first and last
		for c := int(r[0]); c <= int(r[1]); c++ {
			s[c] = true
		}
	}
	return s
}

// The sets of RFC 9110 and RFC 3986. Values of fields may hold bytes beyond ASCII, as they always could.
var (
	token      = setOf("09", "az", "AZ", "!!", "#'", "*+", "--", "..", "^`", "||", "~~")
	text       = setOf(" ~", "\t\t", "\x80\xff")
	hostByte   = setOf("09", "az", "AZ", "!!", "$.", "::", ";;", "==", "[[", "]]", "__", "~~")
	targetByte = setOf("!!", "$~")
	hexDigit   = setOf("09", "af", "AF")
)

// all bytes are of a set; false for none at all.
func all(b []byte, s *set) bool {
	for _, c := range b {
		if !s[c] {
			return false
		}
	}
	return len(b) > 0
}

// validTarget is a path with perhaps a query. Whole URLs and "*" are for proxies of other kinds.
func validTarget(b []byte) bool {
	if len(b) == 0 || b[0] != '/' || !all(b, &targetByte) {
		return false
	}
	for i, c := range b {
		if c == '?' {
			return true // what a query means is its reader's affair
		}
		if c == '%' && (i+2 >= len(b) || !hexDigit[b[i+1]] || !hexDigit[b[i+2]]) {
			return false
		}
	}
	return true
}
