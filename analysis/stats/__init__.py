"""Statistics over data seeds: arrays in, dataclasses out; usable without the rest of the analysis.

- replicated.py: a value with its leave-one-data-seed-out replicates, and every interval that follows from them
- rank_correlation.py: Spearman's rho and Kendall's tau-b of a sample, and combined over cells by Fisher's z
- without_each.py: the same, or the partial rho, of a group of trials without each of its clusters
- split_halves.py: rank correlation of averages over clusters, cross-fitted over random halves
- between_methods.py: rank correlation of method means, with a permutation p-value
- heterogeneity.py: how much correlations differ, with the prediction interval for one more
- cluster_bootstrap.py: numbering and draws of data seeds, percentile intervals
- permutation.py: permutation test within cells, with data seeds as blocks
- multiplicity.py: Benjamini-Hochberg and Holm
- power.py: smallest detectable correlation
"""
