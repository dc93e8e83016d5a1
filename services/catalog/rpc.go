package catalog

import (
	"context"
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"

	catalogv1 "github.com/cellar-commerce/cellar/internal/gen/cellar/catalog/v1"
	"github.com/cellar-commerce/cellar/internal/money"
	"github.com/cellar-commerce/cellar/internal/problem"
)

const (
	maxBatch        = 200
	maxPageSize     = 100
	defaultPageSize = 24
	maxCategory     = maxLevels*maxLevel*4 + (maxLevels-1)*len(Separator) // bytes
)

// GetProduct implements CatalogService.
func (s *Service) GetProduct(ctx context.Context, req *catalogv1.GetProductRequest) (*catalogv1.GetProductResponse, error) {
	if err := checkSKU(req.GetSku()); err != nil {
		return nil, err
	}
	p, err := s.get(ctx, req.GetSku())
	if err != nil {
		return nil, err
	}
	return &catalogv1.GetProductResponse{Product: p}, nil
}

// BatchGetProducts implements CatalogService.
func (s *Service) BatchGetProducts(ctx context.Context, req *catalogv1.BatchGetProductsRequest) (*catalogv1.BatchGetProductsResponse, error) {
	if err := checkSKUs("skus", req.GetSkus()); err != nil {
		return nil, err
	}
	var v problem.Violations
	v.Check(s.rows[req.GetView()] != nil, "view", "must be one of the views")
	if err := v.Err(); err != nil {
		return nil, err
	}
	if len(req.GetSkus()) == 0 {
		return &catalogv1.BatchGetProductsResponse{}, nil
	}
	products, err := s.batch(ctx, req.GetView(), req.GetSkus())
	return &catalogv1.BatchGetProductsResponse{Products: products}, err
}

// ListFamilies implements CatalogService.
func (s *Service) ListFamilies(ctx context.Context, req *catalogv1.ListFamiliesRequest) (*catalogv1.ListFamiliesResponse, error) {
	if err := checkSKUs("families", req.GetFamilies()); err != nil || len(req.GetFamilies()) == 0 {
		return &catalogv1.ListFamiliesResponse{}, err
	}
	products, err := s.families(ctx, req.GetFamilies())
	return &catalogv1.ListFamiliesResponse{Products: products}, err
}

// ListOffers implements CatalogService.
func (s *Service) ListOffers(ctx context.Context, req *catalogv1.ListOffersRequest) (*catalogv1.ListOffersResponse, error) {
	if err := checkSKUs("skus", req.GetSkus()); err != nil || len(req.GetSkus()) == 0 {
		return &catalogv1.ListOffersResponse{}, err
	}
	offers, err := s.offers(ctx, req.GetSkus())
	return &catalogv1.ListOffersResponse{Offers: offers}, err
}

// ListPriceHistories implements CatalogService.
func (s *Service) ListPriceHistories(ctx context.Context, req *catalogv1.ListPriceHistoriesRequest) (*catalogv1.ListPriceHistoriesResponse, error) {
	if err := checkSKUs("skus", req.GetSkus()); err != nil || len(req.GetSkus()) == 0 {
		return &catalogv1.ListPriceHistoriesResponse{}, err
	}
	histories, err := readHistories(ctx, s.deps.DB, req.GetSkus())
	if err != nil {
		return nil, fmt.Errorf("read the prices of %d products: %w", len(req.GetSkus()), err)
	}
	return &catalogv1.ListPriceHistoriesResponse{Histories: histories}, nil
}

func checkSKU(sku string) error {
	var v problem.Violations
	v.Check(validSKU(sku), "sku", "must be 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")
	return v.Err()
}

// checkSKUs of a batch, or what is written like them.
func checkSKUs(field string, skus []string) error {
	var v problem.Violations
	v.Check(len(skus) <= maxBatch, field, "must be at most 200")
	for i, sku := range skus {
		v.Check(validSKU(sku), field+"["+strconv.Itoa(i)+"]", "must be 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")
	}
	return v.Err()
}

// BrowseCategory implements CatalogService.
func (s *Service) BrowseCategory(ctx context.Context, req *catalogv1.BrowseCategoryRequest) (*catalogv1.BrowseCategoryResponse, error) {
	var v problem.Violations
	v.Check(req.GetCategory() != "" && len(req.GetCategory()) <= maxCategory, "category", "must be a path of 1 to 5 levels")
	size := int(req.GetPageSize())
	v.Check(size >= 0 && size <= maxPageSize, "page_size", "must be 0 to 100")
	if size == 0 {
		size = defaultPageSize
	}
	if err := v.Err(); err != nil {
		return nil, err
	}
	after := listing{popularity: math.MaxInt32}
	if token := req.GetPageToken(); token != "" {
		var err error
		if after, err = parsePageToken(token); err != nil {
			return nil, err
		}
	}
	products, next, err := s.browse(ctx, req.GetCategory(), after, size)
	if err != nil {
		return nil, err
	}
	resp := &catalogv1.BrowseCategoryResponse{Products: products}
	if next != nil {
		resp.NextPageToken = pageToken(*next)
	}
	return resp, nil
}

func pageToken(l listing) string {
	return base64.RawURLEncoding.EncodeToString(fmt.Appendf(nil, "%d/%s", l.popularity, l.sku))
}

func parsePageToken(token string) (listing, error) {
	bad := problem.New(problem.Invalid, "BAD_PAGE_TOKEN", "the page token is not from a previous answer")
	if len(token) > 2*maxSKU+32 {
		return listing{}, bad
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return listing{}, bad
	}
	popularity, sku, found := strings.Cut(string(b), "/")
	n, err := strconv.ParseInt(popularity, 10, 32)
	if err != nil || !found || n < 0 || !validSKU(sku) {
		return listing{}, bad
	}
	return listing{popularity: int32(n), sku: sku}, nil
}

// ListCategories implements CatalogService.
func (s *Service) ListCategories(ctx context.Context, _ *catalogv1.ListCategoriesRequest) (*catalogv1.ListCategoriesResponse, error) {
	all, err := s.listCategories(ctx)
	return &catalogv1.ListCategoriesResponse{Categories: all}, err
}

// UpsertProduct implements CatalogService.
func (s *Service) UpsertProduct(ctx context.Context, req *catalogv1.UpsertProductRequest) (*catalogv1.UpsertProductResponse, error) {
	var v problem.Violations
	Validate(&v, "product", req.GetProduct())
	if err := v.Err(); err != nil {
		return nil, err
	}
	sku := req.GetProduct().GetSku()
	if err := s.write(ctx, []*catalogv1.Product{req.GetProduct()}, true); err != nil {
		return nil, fmt.Errorf("upsert %s: %w", sku, err)
	}
	p, err := s.get(ctx, sku)
	return &catalogv1.UpsertProductResponse{Product: p}, err
}

// WithdrawProduct implements CatalogService.
func (s *Service) WithdrawProduct(ctx context.Context, req *catalogv1.WithdrawProductRequest) (*catalogv1.WithdrawProductResponse, error) {
	if err := checkSKU(req.GetSku()); err != nil {
		return nil, err
	}
	p, err := s.withdraw(ctx, req.GetSku())
	if err != nil {
		return nil, err
	}
	return &catalogv1.WithdrawProductResponse{Product: p}, nil
}

// RestoreProduct implements CatalogService.
func (s *Service) RestoreProduct(ctx context.Context, req *catalogv1.RestoreProductRequest) (*catalogv1.RestoreProductResponse, error) {
	if err := checkSKU(req.GetSku()); err != nil {
		return nil, err
	}
	p, err := s.restore(ctx, req.GetSku())
	if err != nil {
		return nil, err
	}
	return &catalogv1.RestoreProductResponse{Product: p}, nil
}

// SetPrice implements CatalogService.
func (s *Service) SetPrice(ctx context.Context, req *catalogv1.SetPriceRequest) (*catalogv1.SetPriceResponse, error) {
	var v problem.Violations
	v.Check(validSKU(req.GetSku()), "sku", "must be 1 to 64 characters of A-Z, a-z, 0-9, '-', '_' and '.'")
	validatePrice(&v, "price", &catalogv1.Product{Price: req.GetPrice()})
	if err := v.Err(); err != nil {
		return nil, err
	}
	p, err := s.setPrice(ctx, req.GetSku(), money.FromProto(req.GetPrice()))
	if err != nil {
		return nil, err
	}
	return &catalogv1.SetPriceResponse{Product: p}, nil
}
