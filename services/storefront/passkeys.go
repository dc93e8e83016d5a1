package storefront

import (
	"encoding/json"
	"io"
	"net/http"

	accountv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/account/v1"
)

// passkeyFields are those of the service's.
var passkeyFields = map[string]string{"name": "passkey"}

// tellOptions to the page's script, which has the browser make or use a passkey with them; or what is wrong, as a sentence.
func (s *Service) tellOptions(w http.ResponseWriter, options string, err error) error {
	if err != nil && !refusedForm(err) {
		return err
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "private, no-store")
	if err != nil {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_ = json.NewEncoder(w).Encode(map[string]string{"wrong": wrongs(err, nil)[0].Text}) // the browser may have gone
		return nil
	}
	_, _ = io.WriteString(w, options) // the browser may have gone
	return nil
}

func (s *Service) optionsToSignIn(w http.ResponseWriter, r *http.Request) error {
	resp, err := s.deps.Accounts.PreparePasskeySignIn(r.Context(), &accountv1.PreparePasskeySignInRequest{})
	return s.tellOptions(w, resp.GetOptions(), err)
}

func (s *Service) signInWithPasskey(w http.ResponseWriter, r *http.Request, answer string) error {
	resp, err := s.deps.Accounts.SignInWithPasskey(r.Context(), &accountv1.SignInWithPasskeyRequest{Answer: answer})
	if refusedForm(err) {
		return s.drawCredentials(w, r, "signin", signInFields(""), r.PostFormValue("to"), wrongs(err, nil))
	}
	if err != nil {
		return err
	}
	s.welcome(w, r, resp.GetSession(), greeting(resp.GetMerged()))
	return nil
}

func (s *Service) optionsToAddPasskey(w http.ResponseWriter, r *http.Request) error {
	resp, err := s.deps.Accounts.PreparePasskey(r.Context(), &accountv1.PreparePasskeyRequest{})
	return s.tellOptions(w, resp.GetOptions(), err)
}

func (s *Service) addPasskey(w http.ResponseWriter, r *http.Request) error {
	_, err := s.deps.Accounts.AddPasskey(r.Context(), &accountv1.AddPasskeyRequest{Answer: r.PostFormValue("answer"), Name: r.PostFormValue("passkey")})
	return s.passkeyChanged(w, r, "saved", err)
}

func (s *Service) changePasskey(w http.ResponseWriter, r *http.Request) error {
	id := r.PathValue("id")
	if r.PostFormValue("remove") != "" {
		_, err := s.deps.Accounts.DeletePasskey(r.Context(), &accountv1.DeletePasskeyRequest{PasskeyId: id})
		return s.passkeyChanged(w, r, "deleted", err)
	}
	_, err := s.deps.Accounts.RenamePasskey(r.Context(), &accountv1.RenamePasskeyRequest{PasskeyId: id, Name: r.PostFormValue("passkey")})
	return s.passkeyChanged(w, r, "saved", err)
}

func (s *Service) passkeyChanged(w http.ResponseWriter, r *http.Request, notice string, err error) error {
	if refusedForm(err) {
		return s.drawAccount(w, r, http.StatusUnprocessableEntity, addressFields(nil), wrongs(err, passkeyFields))
	}
	if err != nil {
		return err
	}
	lead(w, r, "/account", notice)
	return nil
}
