// Package relevance tells how good a ranking is, by what people have judged of its results.
//
// The measure is NDCG, normalized discounted cumulated gain, of Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR
// techniques", ACM Transactions on Information Systems 20(4), 2002: each result adds the gain of its grade, discounted by the
// logarithm of its place, and the sum is divided by that of the best list there could be. Gain and discount are those in common use
// since Burges et al., "Learning to rank using gradient descent", ICML 2005:
//
//	DCG@k = Σ (2^grade − 1) / log2(1 + place), over places 1 to k
//	NDCG@k = DCG@k of the list / DCG@k of all judged products in the order of their grades
//
// The paper itself leaves the first two places undiscounted with base 2 (log2(place)) and takes grades as gains. What is not judged
// has grade 0: a list is judged by what is known, and a set in which much of what is found is not judged says little.
package relevance
