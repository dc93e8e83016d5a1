// Package tax says how much tax is charged on what is sent to a destination.
//
// An Engine assesses a destination: a rate for each category of goods, and whether shipping is
// taxed. The one here, Published, reads tables that are part of the program: sales tax of the
// United States by state with the average of its local taxes, and value added tax of the
// European countries that are delivered to. The tables say where their figures are from, and
// of which day.
//
// That is enough to show and test every sum, and not enough to file a return: a ZIP code may
// have a dozen jurisdictions, and whether a thing is taxed depends on more than its shelf. A
// shop with real customers puts its tax service behind Engine; nothing else changes.
//
// Rates are whole thousandths of a percent and amounts whole minor units, so that there is no
// float anywhere. Tax on an amount is rounded half up to a minor unit, once for each line.
package tax
