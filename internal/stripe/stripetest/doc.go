// Package stripetest stands in for Stripe in tests, in two ways.
//
// Mock runs Stripe's own stripe-mock, built from tools/go.mod: it checks every request against Stripe's published
// description of its API, and remembers nothing.
//
// Server remembers: intents and their states, refunds, and for each idempotency key the first answer, as Stripe documents
// them. Cards are pm_card_visa and pm_card_visa_chargeDeclinedInsufficientFunds. Faults are played by a test's hook.
package stripetest
