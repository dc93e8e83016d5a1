package storefront

import "sync/atomic"

// same is what was made last, for as long as what it was made of is the same. Two who ask at once may both make it.
type same[K comparable, V any] struct{ last atomic.Pointer[made[K, V]] }

type made[K comparable, V any] struct {
	of   K
	what V
}

// get what is made of a key.
func (s *same[K, V]) get(of K, build func() (V, error)) (V, error) {
	if last := s.last.Load(); last != nil && last.of == of {
		return last.what, nil
	}
	what, err := build()
	if err == nil {
		s.last.Store(&made[K, V]{of, what})
	}
	return what, err
}

// getIf it is to be kept; else it is made for this once.
func (s *same[K, V]) getIf(keep bool, of K, build func() (V, error)) (V, error) {
	if !keep {
		return build()
	}
	return s.get(of, build)
}

// plain tells whether nothing around a page is its shopper's own: no account, nothing in the cart, no notice. Such a page is kept as it
// was drawn, where what is within is everybody's too. Nothing of a session shows in it, and no form has a secret of its own (see
// rpc.Pages), so that it is the same for strangers and for guests. Who may keep it, and which cookies go with it, is found out for each
// request.
func (c chrome) plain() bool {
	return !c.SignedIn && c.CartUnits == 0 && c.Notice == ""
}
